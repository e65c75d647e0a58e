"""Cartesia Ink in use: in a conversation, on a recording, and held against the rules."""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.events import (
    DropUtterance,
    EndOfTurnLikely,
    Message,
    Role,
    SpeechStarted,
    SpeechStopped,
    TimedWord,
    Transcript,
    TurnContinued,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.stt.cartesia import TurnThresholds
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_speech_to_text
from beluga_voice.testing.emulators.cartesia_stt import KEY, CartesiaSttEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, silence, speech
from providers.cartesia_stt.cartesia_stt_stage import HOST, PORT, final, listening, provider

LONG = "one two three four five six seven eight nine ten"
WAYS = [{}, {"manual": True}, {"model": "ink-whisper"}]


# ── a conversation ──────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def conversation(service, **settings):
    """A caller, a session over a cascade, and an agent that counts whenever it is spoken to."""

    async def count(text: str) -> str:
        return LONG

    cascade = Cascade(provider(**settings), agent_of(count), ScriptedTts())
    caller = ScriptedCaller()
    async with service.serving(HOST, PORT):
        session = Session(cascade, line=caller, detector=ScriptedVad(), session_id="stage")
        async with session, caller.on(session):
            yield session, caller


@pytest.mark.parametrize("settings", WAYS)
def test_a_conversation_with_an_interruption(settings):
    """Three turns are understood, the second of them in the middle of an answer."""

    async def scene():
        service = CartesiaSttEmulator(pace=Pace(transcript_ms=150))
        async with conversation(service, **settings) as (session, caller):
            await caller.say("hello there")
            await asyncio.sleep(1.6)
            await caller.say("stop it")
            await asyncio.sleep(5)
            await caller.say("one more time please")
            await asyncio.sleep(5)
        return session.history, service.sessions

    history, (remote,) = simulate(scene)
    said = [one for one in history if isinstance(one, Message)]
    assert [one.text for one in said if one.role is Role.USER] == [
        "hello there",
        "stop it",
        "one more time please",
    ]
    answers = [one for one in said if one.role is Role.AGENT]
    assert [one.is_cut for one in answers] == [True, False, False]
    assert answers[1].text == LONG
    assert remote.errors == []


def test_a_lost_connection_is_mended_in_mid_conversation():
    """What was said into the broken connection is understood on the next."""

    async def scene():
        service = CartesiaSttEmulator(faults=[Faults(drop_after_audio_ms=1500)])
        async with conversation(service) as (session, caller):
            await caller.say("one two three four five six seven eight")
            await asyncio.sleep(8)
        return session.history, len(service.sessions)

    history, connections = simulate(scene)
    assert history[0] == Message(role=Role.USER, text="one two three four five six seven eight")
    assert connections == 2


# ── a link ──────────────────────────────────────────────────────────────────────────────────


def test_a_turn_is_told_as_it_happens():
    """Its start, its words, its likely ends and its end, to the millisecond."""

    async def scene():
        async with listening(thresholds=TurnThresholds(end_timeout_ms=900)) as (person, _):
            await person.say("hello", pause_ms=400)
            await person.say("there", pause_ms=1000)
            person.finish("a")
            return person.told

    told = simulate(scene)[1:]
    began = told[0][0]
    seen = [(round(at - began, 3), event) for at, event in told]

    def heard(text):
        return Transcript(text=text, is_final=False, language="en")

    assert seen[:-1] == [
        (0, SpeechStarted()),
        (180, heard("hello")),
        (480, heard("hello")),
        (480, EndOfTurnLikely(probability=0.6, is_eager=True)),
        (600, TurnContinued()),
        (780, heard("hello there")),
        (1080, heard("hello there")),
        (1080, EndOfTurnLikely(probability=0.6, is_eager=True)),
        (1680, SpeechStopped()),
        (1680, heard("hello there")),
        (1680, EndOfTurnLikely(probability=1.0)),
        (1800, final("a", "hello there")),
    ]


@pytest.mark.parametrize("settings", WAYS)
@pytest.mark.parametrize("late_ms", [0, 300, 900])
def test_utterances_have_their_own_words_however_late(settings, late_ms):
    """With pauses in them, without a word, dropped, and one after the other."""

    async def scene():
        service = CartesiaSttEmulator(pace=Pace(transcript_ms=late_ms), repeats_finals=True)
        async with listening(service, **settings) as (person, service):
            await person.say("one two", pause_ms=1300)
            await person.say("three", pause_ms=500)
            person.finish("a")
            await person.hear(silence(400))
            person.finish("b")
            await asyncio.sleep(2)
            await person.say("forget me")
            person.link.send(DropUtterance())
            await asyncio.sleep(2)
            await person.say("four five", pause_ms=1000)
            person.finish("c")
            await asyncio.sleep(3)
            return person.finals, service.sessions[0].errors

    finals, errors = simulate(scene)
    assert finals == {"a": "one two three", "b": "", "c": "four five"}
    assert errors == []


def test_a_service_that_ends_no_turn_is_given_up():
    """What is known is told to be final, and then the link ends."""

    async def scene():
        service = CartesiaSttEmulator(never_ends=True)
        async with listening(service) as (person, _):
            await person.say("hello there")
            person.finish("a")
            await asyncio.sleep(12)
            return person.finals, person.events[-1]

    finals, closed = simulate(scene)
    assert finals == {"a": "hello there"}
    assert closed.reason == f"a turn does not end, though there is silence; {ELSEWHERE}"


def test_an_idle_link_is_kept():
    """Three minutes without sound do not end it, because a little silence is sent."""

    async def scene():
        async with listening() as (person, service):
            await asyncio.sleep(200)
            return service.sessions[0].sound, person.events

    sound, events = simulate(scene)
    assert sound == silence(300)
    assert len(events) == 1


def test_nothing_holds_a_link_that_was_left():
    """No timer of it is left, though it was set anew with every sound."""

    async def scene():
        async with listening() as (person, _):
            await person.say("hello there")
            gone = weakref.ref(person.link)
        del person
        gc.collect()
        return gone()

    assert simulate(scene) is None


def test_reading_from_the_service_waits_for_a_reader():
    """What nobody reads does not pile up without a bound."""

    async def scene():
        service = CartesiaSttEmulator()
        async with service.serving(HOST, PORT), provider().connect(SttOptions()) as link:
            frame = service.sessions[0].frame("turn.update", transcript="hello")
            for _ in range(15_000):
                service.sessions[0].send(frame)
            await asyncio.sleep(5)
            count = 0
            async for _ in link:
                count += 1
                if count == 2:
                    return service.sessions[0].outbox.qsize()
        return None

    assert simulate(scene) > 0


# ── a recording ─────────────────────────────────────────────────────────────────────────────


def transcribed(pcm, **settings):
    """The transcription of a recording by the handle."""

    async def scene():
        service = CartesiaSttEmulator(pace=Pace(transcript_ms=50))
        async with service.serving(HOST, PORT):
            handle = beluga_voice.stt(
                "cartesia", api_key=KEY, endpoint=f"ws://{HOST}:{PORT}", **settings
            )
            return await handle.transcribe(pcm)

    return simulate(scene)


@pytest.mark.parametrize("settings", WAYS)
def test_a_recording_is_transcribed(settings):
    """All of its words, with pauses between them."""
    pcm = pcm_of(speech("hello there")) + silence(1500) + pcm_of(speech("how are you"))
    made = transcribed(pcm, **settings)
    assert made.text == "hello there how are you"
    assert made.language == "en"


def test_a_recording_has_the_times_of_words():
    """In samples, where the service tells them."""
    made = transcribed(silence(400) + pcm_of(speech("hello there")), manual=True, wants_words=True)
    assert made.words == (
        TimedWord(text="hello", start=6400, end=9600),
        TimedWord(text="there", start=9600, end=12800),
    )


def test_a_recording_is_sent_as_fast_as_it_may():
    """With turns it takes as long as it sounds, without them hardly any time."""
    pcm = pcm_of(speech(LONG))
    assert transcribed(pcm).took_ms > 2000
    assert transcribed(pcm, manual=True).took_ms < 1000


# ── the rules ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("settings", WAYS)
def test_it_keeps_the_rules(settings):
    """What every recogniser promises."""

    @asynccontextmanager
    async def make(peer):
        service = CartesiaSttEmulator(pace=peer.pace, faults=[peer.faults])
        async with service.serving(HOST, PORT):
            yield provider(**settings)

    assert check_speech_to_text(make).not_applicable == {}
