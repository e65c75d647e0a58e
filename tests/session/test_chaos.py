"""Random calls: whatever the person does and whichever service is lost, the promises hold."""

import asyncio
import random

import pytest

from beluga_voice.engine.interruptions import InterruptionPolicy
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.events import SessionState
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from session.stage import play, stage

WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel")


POLICIES = (
    InterruptionPolicy(),
    InterruptionPolicy(resumes=False),
    InterruptionPolicy(min_ms=0),
    InterruptionPolicy(min_words=1),
    InterruptionPolicy(guard_ms=300),
)


async def talkative(text: str):
    """Answer in two sentences, the second after a while."""
    yield f"you said {text}. "
    await asyncio.sleep(0.4)
    yield "and that is all there is to say about it."


def call(seed: int, *, lead_ms: int, loses_services: bool):
    """A minute of random doings; gives what both sides know in the end."""
    chance = random.Random(seed)

    async def scene():
        said: list[str] = []
        stt = ScriptedStt(delay_ms=chance.choice((0, 20, 200)), interim=chance.random() < 0.5)
        tts = ScriptedTts(
            delay_ms=chance.choice((0, 30, 300)), has_word_times=chance.random() < 0.7
        )
        caller = ScriptedCaller(lead_ms=lead_ms)
        turns = TurnSettings(prepares=chance.random() < 0.5)
        policy = chance.choice(POLICIES)
        async with stage(
            talkative, stt=stt, tts=tts, caller=caller, turns=turns, interruptions=policy
        ) as on:
            for _ in range(25):
                match chance.randrange(9 if loses_services else 7):
                    case 0 | 1 | 2:
                        words = [
                            f"{chance.choice(WORDS)}{len(said) + n}"
                            for n in range(chance.randint(2, 5))
                        ]
                        said += words
                        await on.caller.say(" ".join(words))
                    case 3:
                        await on.caller.noise(chance.choice((40, 100, 240, 400, 900)))
                    case 4:
                        on.caller.press_stop()
                    case 5:
                        on.caller.type("typed")
                    case 6:
                        await on.caller.say("mm-hm")
                    case 7:
                        stt.links[-1].lose()
                    case _:
                        tts.links[-1].lose()
                await asyncio.sleep(chance.choice((0.05, 0.3, 0.7, 1.5, 3.0)))
            await asyncio.sleep(15)
            users = " ".join(on.user_words()).split()
            return (
                said,
                [word for word in users if word not in ("typed", "mm-hm")],
                on.caller.heard.split(),
                " ".join(on.agent_words()).split(),
                on.session.state,
                tts.capabilities.has_word_times,
            )

    return play(scene)


@pytest.mark.parametrize("seed", range(40))
def test_a_random_call_keeps_every_word_right(seed):
    """No word of the person is lost or doubled, and the history holds the words heard, no more."""
    said, understood, heard, remembered, state, has_word_times = call(
        seed, lead_ms=(20, 100)[seed % 2], loses_services=False
    )
    assert state is SessionState.IDLE
    # Speech over the agent that was too short to count is the only thing that may be missing.
    assert understood == [word for word in said if word in understood]
    assert len(said) - len(understood) <= len(said) // 4
    if has_word_times:
        assert remembered == heard


@pytest.mark.parametrize("seed", range(40))
def test_a_random_call_outlives_its_services(seed):
    """With services lost at random, the call goes on, and no word is heard or kept twice."""
    said, understood, heard, remembered, state, has_word_times = call(
        seed, lead_ms=20, loses_services=True
    )
    assert state is SessionState.IDLE
    assert understood == [word for word in said if word in understood]
    if has_word_times:
        assert remembered == heard
