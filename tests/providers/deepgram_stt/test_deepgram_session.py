"""Deepgram in a conversation, and for recordings: three turns with barge-in, by each service."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.errors import Denied, Silent
from beluga_voice.events import Message, Role
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.deepgram import KEY, DeepgramEmulator
from beluga_voice.testing.emulators.deepgram_session import Quirks
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import WORD_MS, pcm_of, speech, words_in
from providers.deepgram_stt.deepgram_stage import FLUX, HOST, LONG, NOVA, PORT, listener, speaker


async def agent(text: str) -> str:
    """Count when asked, and echo otherwise."""
    return LONG if text == "count" else f"you said {text}"


@asynccontextmanager
async def talking(stt, tts, **service):
    """A conversation over the emulated service."""
    caller = ScriptedCaller()
    emulator = DeepgramEmulator(**service)
    async with emulator.serving(HOST, PORT):
        session = Session(Cascade(stt, agent_of(agent), tts), line=caller, detector=ScriptedVad())
        async with session, caller.on(session):
            yield session, caller
    assert all(one.errors == [] for one in emulator.sessions)


async def three_turns(session, caller):
    """A question, an answer that is interrupted, and a last word."""
    await asyncio.sleep(0.2)
    await caller.say("hello there")
    await asyncio.sleep(3)
    await caller.say("count")
    await asyncio.sleep(2)
    await caller.say("stop it please")
    await asyncio.sleep(4)
    return {
        role: [one.text for one in session.history if isinstance(one, Message) and one.role is role]
        for role in Role
    }, caller.heard


def check(said, heard):
    """Every word of the person's arrived, and of the agent's what was heard.

    Without times of words, the word in which it was interrupted may count as heard.
    """
    assert said[Role.USER] == ["hello there", "count", "stop it please"]
    first, second, third = said[Role.AGENT]
    assert (first, third) == ("you said hello there", "you said stop it please")
    assert second
    assert second != LONG
    assert LONG.startswith(second)
    whole = heard.removeprefix(f"{first} ").removesuffix(f" {third}")
    assert whole in (second, second.rpartition(" ")[0])


@pytest.mark.parametrize("model", [NOVA, FLUX])
@pytest.mark.parametrize("transcript_ms", [0, 150])
def test_it_hears_a_conversation(model, transcript_ms):
    """Three turns with a barge-in, to the word."""

    async def scene():
        pace = Pace(transcript_ms=transcript_ms)
        async with talking(listener(model), ScriptedTts(), pace=pace) as (session, caller):
            return await three_turns(session, caller)

    check(*simulate(scene))


@pytest.mark.parametrize("word_ms", [0, WORD_MS // 2])
def test_it_speaks_a_conversation(word_ms):
    """Three turns with a barge-in, to the word."""

    async def scene():
        pace = Pace(word_ms=word_ms, thinking_ms=50)
        async with talking(ScriptedStt(), speaker(), pace=pace) as (session, caller):
            return await three_turns(session, caller)

    check(*simulate(scene))


@pytest.mark.parametrize("model", [NOVA, FLUX])
@pytest.mark.parametrize("quirks", [Quirks(), Quirks(answers_empty_finalize=True, silence_ms=200)])
def test_both_ends_may_be_deepgram(model, quirks):
    """One key, two connections, and some distance."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=40, jitter_ms=20))
        async with talking(listener(model), speaker(), quirks=quirks) as (session, caller):
            return await three_turns(session, caller)

    check(*simulate(scene))


@pytest.mark.parametrize("model", [NOVA, FLUX])
def test_a_recording_is_transcribed(model):
    """As fast as it is taken, with its words."""

    async def scene():
        async with DeepgramEmulator().serving(HOST, PORT):
            handle = beluga_voice.stt(
                "deepgram", model=model, api_key=KEY, endpoint=f"ws://{HOST}", wants_words=True
            )
            health = await handle.health()
            return health, await handle.transcribe(pcm_of(speech(LONG * 3)))

    health, found = simulate(scene)
    assert health.is_healthy
    assert found.text == LONG * 3
    assert [word.text for word in found.words] == (LONG * 3).split()
    assert found.took_ms < 5000


def test_a_text_is_spoken():
    """The handle gives its sound."""

    async def scene():
        async with DeepgramEmulator().serving(HOST, PORT):
            handle = beluga_voice.tts("deepgram", api_key=KEY, endpoint=f"ws://{HOST}")
            voices = await handle.voices()
            return voices, await handle.synthesize("Hello there. How are you?")

    voices, found = simulate(scene)
    assert " ".join(words_in(found.audio)) == "Hello there. How are you?"
    assert found.rate == 24000
    assert "aura-2-thalia-en" in {one.id for one in voices}


def test_a_handle_raises_what_went_wrong():
    """Without a valid key, and without a sound."""

    async def scene():
        quirks = Quirks(is_soundless=True)
        async with DeepgramEmulator(quirks=quirks).serving(HOST, PORT):
            with pytest.raises(Denied):
                await beluga_voice.stt(
                    "deepgram", api_key="no", endpoint=f"ws://{HOST}"
                ).transcribe(pcm_of(speech("hello")))
            with pytest.raises(Silent):
                await beluga_voice.tts("deepgram", api_key=KEY, endpoint=f"ws://{HOST}").synthesize(
                    "hello"
                )

    simulate(scene)
