"""An hour of conversation, with interruptions, in simulated time."""

import asyncio

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ErrorOccurred,
    Message,
    ResponseOutcome,
    Role,
    Transcription,
    TurnMeasured,
)
from session.stage import play, stage

TURNS = 360
"""One every ten seconds; every third is interrupted."""
INTERRUPTIONS = TURNS // 3
HISTORY_LIMIT = 50
ANSWER = "one two three four five six seven eight nine ten"


class Tally:
    """An observer that counts: an hour has too many events to keep."""

    def __init__(self):
        self.finals = []
        self.ended = []
        self.latencies = []
        self.decisions = []
        self.errors = []

    def observe(self, event, /, *, at):
        match event:
            case Transcription(is_final=True):
                self.finals.append(event.text)
            case AgentResponseEnded():
                self.ended.append(event)
            case TurnMeasured():
                self.latencies.append(event.total_ms)
            case BargedIn():
                self.decisions.append(event.decision_ms)
            case ErrorOccurred():
                self.errors.append(event)
            case _:
                pass


async def scene():
    """The hour, and what is left of it."""

    async def agent(text: str) -> str:
        return ANSWER

    tally = Tally()
    settings = EngineSettings(history_limit=HISTORY_LIMIT)
    async with stage(agent, observers=[tally], settings=settings) as on:
        on.session._observers.remove(on.trace)
        loop = asyncio.get_running_loop()
        start = loop.time()
        before = asyncio.all_tasks()
        for number in range(TURNS):
            await on.caller.say(f"question {number}")
            if number % 3 == 0:
                await asyncio.sleep(1.5)
                await on.caller.say(f"wait {number}")
            await asyncio.sleep(start + (number + 1) * 10 - loop.time())
        heard = on.caller.heard
        return (
            tally,
            on.session.metrics(),
            on.session.history,
            heard.split(),
            asyncio.all_tasks() == before,
            loop.time() - start,
        )


def test_an_hour_of_conversation_stays_exact_and_leaves_nothing():
    """Every utterance is heard and answered, all latencies are alike, and nothing accumulates."""
    tally, metrics, history, heard, is_same_tasks, seconds = play(scene)
    assert seconds == 3600
    utterances = TURNS + INTERRUPTIONS
    assert tally.errors == []
    assert len(tally.finals) == metrics.utterances == utterances
    assert tally.finals[:3] == ["question 0", "wait 0", "question 1"]
    assert metrics.responses == len(tally.ended) == utterances
    cut = [one for one in tally.ended if one.outcome is ResponseOutcome.CUT]
    assert len(cut) == metrics.interruptions == len(tally.decisions) == INTERRUPTIONS
    assert set(tally.decisions) == {300}
    # What is said over the agent is transcribed while the silence is waited for.
    assert set(tally.latencies) == {680, 630}
    assert metrics.latency_p50_ms == metrics.latency_p95_ms == 680
    assert (metrics.failed_responses, metrics.reconnections, metrics.errors) == (0, 0, 0)
    assert metrics.lost_input_ms == 0
    # The person heard, to the word, what the session says was heard.
    assert heard == [word for one in tally.ended for word in one.heard_text.split()]
    assert len({one.heard_text for one in cut}) == 1
    assert metrics.heard_ms + metrics.unheard_ms == utterances * 2000
    assert len(history) == HISTORY_LIMIT
    assert history[-2:] == (
        Message(role=Role.USER, text=f"question {TURNS - 1}"),
        Message(role=Role.AGENT, text=ANSWER),
    )
    assert is_same_tasks
