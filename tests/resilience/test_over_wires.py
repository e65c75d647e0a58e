"""Services over their own wires that stop in the middle, and what takes over."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice import VoiceSession
from beluga_voice.events import Message, Role
from beluga_voice.providers.stt.deepgram import Deepgram
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.deepgram import KEY, DeepgramEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedVad
from resilience.parts import Recogniser, Voice

HOST, PORT = "speech.example.com", 80
URL = f"ws://{HOST}:{PORT}"
LONG = "one two three four five six seven eight nine ten"
QUESTION = "what time is it in Oslo and in Rome"

BROKEN_OFF = (Faults(drop_after_audio_ms=700), Faults(stall_after_audio_ms=700))


async def answer(text: str) -> str:
    """Ten words."""
    return LONG


@asynccontextmanager
async def served(faults):
    """The emulated service; the first connection has these faults."""
    async with DeepgramEmulator(pace=Pace(), faults=[faults]).serving(HOST, PORT) as service:
        yield service


def called(stt, tts, faults):
    """What was heard, asked and told in a call with one question."""
    caller = ScriptedCaller()

    async def scene():
        async with served(faults):
            session = VoiceSession(stt=stt, agent=answer, tts=tts, vad=ScriptedVad(), line=caller)
            async with session, caller.on(session):
                await caller.say(QUESTION)
                await asyncio.sleep(8)
                asked = [
                    one.text
                    for one in session.history
                    if isinstance(one, Message) and one.role is Role.USER
                ]
                return caller.heard, asked

    return simulate(scene)


@pytest.mark.parametrize(
    "faults",
    [
        Faults(drop_after_audio_ms=700),
        Faults(drop_after_audio_ms=20),
        Faults(stall_after_audio_ms=700),
        Faults(is_mute=True),
        Faults(refuse_status=503),
    ],
)
def test_a_recogniser_that_stops_loses_no_word(faults):
    """Whether its connection breaks, hangs, or never comes about."""
    switches = []
    stt = Fallback(
        Deepgram("nova-3", api_key=KEY, endpoint=URL),
        Recogniser("other"),
        progress=ProgressSettings(final_ms=800),
        on_switch=switches.append,
    )
    heard, asked = called(stt, Voice("mouth"), faults)
    assert [one.following for one in switches] == ["other"]
    assert (heard, asked) == (LONG, [QUESTION])


@pytest.mark.parametrize("faults", [*BROKEN_OFF, Faults(is_mute=True), Faults(refuse_status=503)])
def test_a_voice_that_stops_is_continued(faults):
    """No word is lost. It tells no times of words, and in a first answer one may be said twice."""
    switches = []
    tts = Fallback(
        DeepgramTts(api_key=KEY, endpoint=URL),
        Voice("other"),
        progress=ProgressSettings(audio_ms=800),
        on_switch=switches.append,
    )
    heard, asked = called(Recogniser("ears"), tts, faults)
    assert [one.following for one in switches] == ["other"]
    assert asked == [QUESTION]
    words = heard.split()
    repeated = 1 if faults in BROKEN_OFF else 0
    assert list(dict.fromkeys(words)) == LONG.split()
    assert len(words) - len(set(words)) == repeated
