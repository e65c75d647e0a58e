"""Each of the six services has each fault, and a client notices the same of it everywhere."""

import asyncio
import dataclasses
import math

import pytest

from beluga_voice.errors import BelugaError, Overloaded
from beluga_voice.events import (
    GoingAway,
    LinkClosed,
    ResponseAudio,
    ServiceFailed,
)
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.emulators.speech import Faults, Pace, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from emulators.six import SIX, Plan

WORDS = "one two three four five six"
WHOLE = f"heard {WORDS}"
CUT = "heard one two"

FAULTS: dict[str, Faults] = {
    "none": Faults(),
    "400 at the handshake": Faults(refuse_status=400, refuse_body="bad"),
    "401 at the handshake": Faults(refuse_status=401, refuse_body="who are you"),
    "403 at the handshake": Faults(refuse_status=403, refuse_body="not you"),
    "404 at the handshake": Faults(refuse_status=404, refuse_body="what"),
    "429 at the handshake": Faults(refuse_status=429, refuse_body="slow down"),
    "429, and when to come again": Faults(refuse_status=429, retry_after="7"),
    "500 at the handshake": Faults(refuse_status=500, refuse_body="oops"),
    "503 at the handshake": Faults(refuse_status=503, refuse_body="later"),
    "a handshake that takes its time": Faults(answers_after_ms=2000),
    "a handshake that never ends": Faults(answers_after_ms=math.inf),
    "mute": Faults(is_mute=True),
    "drop in mid-response": Faults(drop_after_audio_ms=400),
    "close in mid-response": Faults(drop_after_audio_ms=400, close_code=1011, close_reason="bye"),
    "stall": Faults(stall_after_audio_ms=400),
    "malformed message": Faults(malformed_after_audio_ms=400),
    "expired session": Faults(expire_after_ms=3000),
    "expired session, with a warning": Faults(expire_after_ms=3000, warns_ms=2500),
}
"""All that `Faults` has but errors, which `error_maps` has."""
EXPIRED = f"{WHOLE}, fatal, session_expired, lost"
OUTCOMES: dict[str, str] = {
    "none": WHOLE,
    "400 at the handshake": "Rejected",
    "401 at the handshake": "Denied",
    "403 at the handshake": "Denied",
    "404 at the handshake": "Rejected",
    "429 at the handshake": "Overloaded",
    "429, and when to come again": "Overloaded for 7 s",
    "500 at the handshake": "Unreachable",
    "503 at the handshake": "Overloaded",
    "a handshake that takes its time": f"{WHOLE}, ready after 2 s",
    "a handshake that never ends": "Unreachable",
    "mute": "Silent",
    "drop in mid-response": f"{CUT}, lost",
    "close in mid-response": f"{CUT}, lost",
    "stall": CUT,
    "malformed message": f"{WHOLE}, goes on, benign",
    "expired session": EXPIRED,
    "expired session, with a warning": EXPIRED,
}
"""What is noticed, wherever nothing else is written below."""
DIFFERENCES: dict[tuple[str, str], str] = {
    # There are two handshakes: the first gives a signed address.
    ("elevenlabs", "a handshake that takes its time"): f"{WHOLE}, ready after 4 s",
    # The connection stands before the request is answered.
    ("nova_sonic", "a handshake that never ends"): "Silent",
    # An exception of Bedrock, which does not say that it has too much to do.
    ("nova_sonic", "503 at the handshake"): "Unreachable",
    # The reason of a close is all that these two say of an error.
    ("elevenlabs", "close in mid-response"): f"{CUT}, fatal, retryable, lost",
    ("gemini_live", "close in mid-response"): f"{CUT}, fatal, retryable, lost",
    # It closes with 1000, as if nothing were wrong.
    ("elevenlabs", "expired session"): f"{WHOLE}, fatal, session_expired, closed",
    ("elevenlabs", "expired session, with a warning"): f"{WHOLE}, fatal, session_expired, closed",
    # The only one whose protocol has a warning: `goAway`. The OpenAI services say at the beginning
    # when the end is, the others nothing.
    ("gemini_live", "expired session"): f"{WHOLE}, warned, fatal, session_expired, lost",
    ("gemini_live", "expired session, with a warning"): (
        f"{WHOLE}, warned, fatal, session_expired, lost"
    ),
}
ERRORS = {"error_code", "error_type", "error_message"}


async def outcome(name: str, faults: Faults) -> str:
    """What a client sees of a fault, told in words."""
    plan = Plan(brain=lambda _: Speaks(WORDS), pace=Pace(word_ms=200), faults=[faults])
    async with SIX[name](plan) as served:
        on = Stage(None, Rule.TURNS, served.provider.capabilities.turn_owners[0])
        began = asyncio.get_running_loop().time()
        try:
            async with on.talking(served.provider) as talk:
                ready = asyncio.get_running_loop().time() - began
                await talk.say("hello")
                await asyncio.sleep(5)
                events = list(talk.record.events)
        except BelugaError as error:
            later = error.retry_after if isinstance(error, Overloaded) else None
            return type(error).__name__ + (f" for {later:g} s" if later else "")
    told = [f"ready after {ready:g} s"] if round(ready) else []
    for event in events:
        match event:
            case GoingAway():
                told.append("warned")
            case ServiceFailed():
                told.append("fatal" if event.is_fatal else "goes on")
                told.append(str(event.category))
            case LinkClosed():
                told.append("closed" if event.is_clean else "lost")
            case _:
                pass
    heard = words_in(b"".join(one.pcm for one in events if isinstance(one, ResponseAudio)))
    return ", ".join([f"heard {' '.join(heard)}" if heard else "heard nothing", *told])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", SIX)
def test_a_fault_is_noticed(name, fault):
    """As the table has it."""
    seen = simulate(lambda: outcome(name, FAULTS[fault]))
    assert seen == DIFFERENCES.get((name, fault), OUTCOMES[fault])


def test_the_table_has_every_fault():
    """Whatever can be set for a connection is set in a row, or is an error."""
    usual = Faults()
    names = {one.name for one in dataclasses.fields(Faults)}
    set_somewhere = {
        name
        for name in names
        for faults in FAULTS.values()
        if getattr(faults, name) != getattr(usual, name)
    }
    assert names - set_somewhere == ERRORS
    assert set(OUTCOMES) == set(FAULTS)
