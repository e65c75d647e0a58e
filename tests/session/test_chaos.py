"""Any call: whatever the person does and whichever service is lost, every word is kept right."""

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

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

WAITS = st.sampled_from((0.05, 0.3, 0.7, 1.5, 3.0))
PERSON = st.one_of(
    st.tuples(st.just("says"), st.lists(st.sampled_from(WORDS), min_size=2, max_size=5)),
    st.tuples(st.just("makes a noise"), st.sampled_from((40, 100, 240, 400, 900))),
    st.tuples(st.sampled_from(("presses stop", "types", "murmurs")), st.none()),
)
LOSSES = st.tuples(st.just("loses"), st.sampled_from(("stt", "tts")))


@dataclass(frozen=True)
class Services:
    """How long they take, and what they tell."""

    final_ms: int
    has_interims: bool
    first_sound_ms: int
    has_word_times: bool
    lead_ms: int
    prepares: bool
    policy: InterruptionPolicy


SERVICES = st.builds(
    Services,
    final_ms=st.sampled_from((0, 20, 200)),
    has_interims=st.booleans(),
    first_sound_ms=st.sampled_from((0, 30, 300)),
    has_word_times=st.booleans(),
    lead_ms=st.sampled_from((20, 100)),
    prepares=st.booleans(),
    policy=st.sampled_from(POLICIES),
)


@dataclass
class Outcome:
    """What both sides know in the end."""

    said: list[tuple[list[str], float, float]] = field(default_factory=list)
    """What the person said, from when to when, in milliseconds."""
    understood: list[str] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    remembered: list[str] = field(default_factory=list)
    sounds: list[tuple[float, float]] = field(default_factory=list)
    state: SessionState = SessionState.CONNECTING


async def talkative(text: str):
    """Answer in two sentences, the second after a while."""
    yield f"you said {text}. "
    await asyncio.sleep(0.4)
    yield "and that is all there is to say about it."


def call(services: Services, deeds: list) -> Outcome:
    """Play it, and let it come to rest."""

    async def scene():
        outcome = Outcome()
        stt = ScriptedStt(delay_ms=services.final_ms, interim=services.has_interims)
        tts = ScriptedTts(delay_ms=services.first_sound_ms, has_word_times=services.has_word_times)
        async with stage(
            talkative,
            stt=stt,
            tts=tts,
            caller=ScriptedCaller(lead_ms=services.lead_ms),
            turns=TurnSettings(prepares=services.prepares),
            interruptions=services.policy,
        ) as on:
            for (deed, what), wait in deeds:
                await _do(on, deed, what, outcome)
                await asyncio.sleep(wait)
            await asyncio.sleep(15)
            users = " ".join(on.user_words()).split()
            outcome.understood = [word for word in users if word not in ("typed", "mm-hm")]
            outcome.heard = on.caller.heard.split()
            outcome.remembered = " ".join(on.agent_words()).split()
            outcome.sounds = on.caller.sounds_ms
            outcome.state = on.session.state
        return outcome

    return play(scene)


async def _do(on, deed, what, outcome):
    match deed:
        case "says":
            count = sum(len(words) for words, _, _ in outcome.said)
            words = [f"{word}{count + at}" for at, word in enumerate(what)]
            begin = on.caller.now_ms
            await on.caller.say(" ".join(words))
            outcome.said.append((words, begin, on.caller.now_ms))
        case "makes a noise":
            await on.caller.noise(what)
        case "presses stop":
            on.caller.press_stop()
        case "types":
            on.caller.type("typed")
        case "murmurs":
            await on.caller.say("mm-hm")
        case _:
            (on.stt if what == "stt" else on.tts).links[-1].lose()


def _is_over_the_agent(begin: float, end: float, outcome: Outcome) -> bool:
    return any(begin < until and since < end for since, until in outcome.sounds)


def keeps_every_word(outcome: Outcome, services: Services) -> None:
    """No word is lost, doubled or out of order, but what was said over the agent and dropped."""
    assert outcome.state is SessionState.IDLE
    said = [word for words, _, _ in outcome.said for word in words]
    assert outcome.understood == [word for word in said if word in outcome.understood]
    for words, begin, end in outcome.said:
        missing = [word for word in words if word not in outcome.understood]
        assert not missing or _is_over_the_agent(begin, end, outcome)
    if services.has_word_times:
        assert outcome.remembered == outcome.heard


@settings(max_examples=50)
@given(SERVICES, st.lists(st.tuples(PERSON, WAITS), max_size=20))
def test_any_call_keeps_every_word_right(services, deeds):
    """No word of the person is lost or doubled, and the history holds the words heard, no more."""
    keeps_every_word(call(services, deeds), services)


@settings(max_examples=50)
@given(SERVICES, st.lists(st.tuples(st.one_of(PERSON, LOSSES), WAITS), max_size=20))
def test_any_call_outlives_its_services(services, deeds):
    """With services lost at any moment, the call goes on, and no word is heard or kept twice."""
    keeps_every_word(call(services, deeds), services)
