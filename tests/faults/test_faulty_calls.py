"""Whole calls over services on which faults strike."""

import asyncio

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import Denied, Rejected
from beluga_voice.events import (
    ErrorOccurred,
    Message,
    Reconnected,
    Role,
    SessionEnded,
    TurnMeasured,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.faults import (
    Delay,
    Faulty,
    Hang,
    Kind,
    NoFinal,
    Phase,
    Refusal,
    Reset,
    When,
    ZeroAudio,
)
from beluga_voice.testing.faults.catalogue import cases
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import trace

TEN = "one two three four five six seven eight nine ten"


async def ten(text):
    """Ten words, whatever is asked."""
    return TEN


def call(*, stt=(), tts=(), s2s=(), has_stand_ins=False, until=12.0):
    """One question in a call whose parts have those faults: the caller, the trace, the history."""

    async def scene():
        ears = Faulty(ScriptedStt(delay_ms=50), *stt)
        mouth = Faulty(ScriptedTts(delay_ms=30), *tts)
        if has_stand_ins:
            ears = Fallback(ears, ScriptedStt(delay_ms=50))
            mouth = Fallback(mouth, ScriptedTts(delay_ms=30))
        provider = Faulty(Cascade(ears, agent_of(ten), mouth), *s2s)
        caller = ScriptedCaller()
        session = Session(provider, line=caller, detector=ScriptedVad(), session_id="call")
        seen = trace(session)
        async with session, caller.on(session):
            await caller.say("good evening")
            await asyncio.sleep(until)
            said = [one for one in session.history if isinstance(one, Message)]
            return caller, caller.heard, seen, said

    return simulate(scene)


def test_a_slow_voice_costs_what_its_delay_is():
    """200 ms more than the 680 ms of a turn."""
    _, heard, seen, _ = call(tts=(Delay(ms=200),))
    assert heard == TEN
    assert seen.of(TurnMeasured)[0].total_ms == 680 + 200


@pytest.mark.parametrize("phase", [Phase.HEARING, Phase.AWAITED])
def test_a_call_outlives_a_reset_of_its_cascade(phase):
    """The session connects again, and the question is answered."""
    when = When(phase=phase, connections=1)
    _, heard, seen, said = call(s2s=(Reset(when=when),))
    assert len(seen.of(Reconnected)) == 1
    assert heard == TEN
    assert [one.text for one in said if one.role is Role.USER] == ["good evening"]


@pytest.mark.parametrize(
    "faults",
    [
        {"stt": (Refusal(),)},
        {"stt": (NoFinal(),)},
        {"stt": (Hang(when=When(phase=Phase.HEARING)),)},
        {"stt": (Reset(when=When(phase=Phase.HEARING, after_ms=100)),)},
        {"tts": (Refusal(),)},
        {"tts": (ZeroAudio(),)},
        {"tts": (Hang(when=When(phase=Phase.AWAITED)),)},
        {"tts": (Hang(when=When(phase=Phase.CONNECTING)),)},
    ],
    ids=lambda faults: "-".join(f"{part} {made[0].name}" for part, made in faults.items()),
)
def test_with_stand_ins_every_word_is_heard(faults):
    """Whatever one of the parts does, its stand-in goes on."""
    _, heard, _, said = call(has_stand_ins=True, **faults)
    assert heard == TEN
    assert [one.text for one in said if one.role is Role.USER] == ["good evening"]


@pytest.mark.parametrize("kind", Kind)
def test_no_fault_at_any_phase_breaks_a_session(kind):
    """The call goes on or ends in order, and never by a defect of ours."""
    part = {Kind.S2S: "s2s", Kind.STT: "stt", Kind.TTS: "tts"}[kind]
    broken = []
    for case in cases(kind):
        fault = case.recipe.at(case.phase, connections=1)
        try:
            _, _, seen, _ = call(**{part: (fault,)}, until=4.0)
        except (Denied, Rejected):
            assert case.phase is Phase.CONNECTING
            continue
        if seen.of(SessionEnded)[-1].reason == "failed":
            broken.append(case)
        broken += [case for one in seen.of(ErrorOccurred) if one.code == "internal_error"]
    assert broken == []
