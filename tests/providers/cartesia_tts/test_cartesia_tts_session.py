"""Cartesia Sonic in use: in a conversation, for a text, and held against the rules."""

import asyncio
from contextlib import asynccontextmanager

import pytest

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import Silent
from beluga_voice.events import Message, Role, ServiceFailed
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_text_to_speech
from beluga_voice.testing.emulators.cartesia_tts import KEY, CartesiaTtsEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedVad
from beluga_voice.testing.speech import words_in
from providers.cartesia_tts.cartesia_tts_stage import HOST, PORT, provider, reading

LONG = "One two three four five. Six seven eight nine ten."


# ── a conversation ──────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def conversation(service):
    """A caller, a session over a cascade, and an agent that counts whenever it is spoken to."""

    async def count(text: str) -> str:
        return LONG

    cascade = Cascade(ScriptedStt(), agent_of(count), provider())
    caller = ScriptedCaller()
    async with service.serving(HOST, PORT):
        session = Session(cascade, line=caller, detector=ScriptedVad(), session_id="stage")
        async with session, caller.on(session):
            yield session, caller


def test_a_conversation_with_an_interruption():
    """Three turns are answered; of the first, what was heard is known to the word."""

    async def scene():
        service = CartesiaTtsEmulator(pace=Pace(thinking_ms=100, word_ms=50))
        async with conversation(service) as (session, caller):
            await caller.say("hello there")
            await asyncio.sleep(1.5)
            await caller.say("stop it")
            await asyncio.sleep(5)
            await caller.say("one more time please")
            await asyncio.sleep(5)
            return session.history, caller.heard, service.sessions

    history, heard, (remote,) = simulate(scene)
    answers = [one for one in history if isinstance(one, Message) and one.role is Role.AGENT]
    assert [one.is_cut for one in answers] == [True, False, False]
    assert LONG.startswith(answers[0].text)
    assert 0 < len(answers[0].text.split()) < 10
    assert answers[1].text == answers[2].text == LONG
    assert heard == " ".join([answers[0].text, LONG, LONG])
    assert remote.errors == []
    assert list(remote.texts.values()) == [LONG] * 3


def test_a_lost_connection_is_mended_in_mid_conversation():
    """The next answer is spoken over another one."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[Faults(drop_after_audio_ms=600)])
        async with conversation(service) as (_, caller):
            await caller.say("hello there")
            await asyncio.sleep(6)
            await caller.say("one more time please")
            await asyncio.sleep(6)
            return caller.heard, len(service.sessions)

    heard, connections = simulate(scene)
    assert heard.endswith(LONG)
    assert connections == 2


# ── a link ──────────────────────────────────────────────────────────────────────────────────


def test_words_are_told_with_their_places():
    """In samples from the start of the context, each of 200 ms at 16 kHz, after its sound."""

    async def scene():
        options = TtsOptions(output_format=pcm16(16000))
        async with reading(options=options) as (reader, _):
            reader.speak("a", "One two.", "Three.")
            await asyncio.sleep(1)
            return reader.heard("a"), reader.words("a")

    heard, words = simulate(scene)
    assert heard == "One two. Three."
    assert words == [("One", 0, 3200), ("two.", 3200, 6400), ("Three.", 6400, 9600)]


def test_what_is_cancelled_is_silent_at_once():
    """The service sounds for one more word, and that is dropped."""

    async def scene():
        service = CartesiaTtsEmulator(pace=Pace(word_ms=200))
        async with reading(service) as (reader, service):
            reader.speak("a", "one two three four")
            await asyncio.sleep(0.25)
            count = len(reader.events)
            reader.cancel("a")
            await asyncio.sleep(3)
            late = [one for one in service.sessions[0].sent if one["type"] == "chunk"]
            return reader, reader.events[count:], len(late)

    reader, events, chunks = simulate(scene)
    assert reader.heard("a") == "one two"
    assert (events, chunks) == ([], 3)


def test_a_pause_of_the_agent_does_not_end_a_context():
    """The service lets it go after a second; what follows is spoken all the same."""

    async def scene():
        async with reading() as (reader, service):
            reader.speak("a", "One two. ", finish=False)
            await asyncio.sleep(5)
            reader.speak("a", "Three.")
            await asyncio.sleep(2)
            return reader, service.sessions[0]

    reader, remote = simulate(scene)
    assert reader.heard("a") == "One two. Three."
    assert reader.words("a")[-1] == ("Three.", 9600, 14400)
    assert reader.ends("a") == 1
    assert list(remote.texts.values()) == ["One two. ", "Three."]
    assert remote.errors == []


@pytest.mark.parametrize(
    ("twist", "heard", "named"),
    [
        ("odd pieces", "one two", ""),
        ("odd end", "one two", "the sound ends 1 bytes into a sample"),
        ("wav header", "one two", "the sound begins with a WAV header"),
        ("wrong wav", "", "11025 Hz"),
        ("no sound", "", "the service gave no sound for a text"),
    ],
)
def test_sound_that_is_not_what_was_asked_for_is_named(twist, heard, named):
    """The context ends once, and the link goes on."""

    async def scene():
        async with reading(CartesiaTtsEmulator(twist=twist)) as (reader, _):
            reader.speak("a", "one two")
            await asyncio.sleep(2)
            return reader

    reader = simulate(scene)
    failures = [one for one in reader.events if isinstance(one, ServiceFailed)]
    assert (reader.heard("a"), reader.ends("a")) == (heard, 1)
    assert [named in one.message and not one.is_fatal for one in failures] == [True] * bool(named)


# ── a text ──────────────────────────────────────────────────────────────────────────────────


def handle(**settings):
    """The handle that people use."""
    endpoint = f"ws://{HOST}:{PORT}"
    return beluga_voice.tts("cartesia", api_key=KEY, endpoint=endpoint, **settings)


def test_a_text_is_spoken():
    """All of it, with the places of its words, at the speed that was asked for."""

    async def scene():
        async with CartesiaTtsEmulator(word_ms=200).serving(HOST, PORT):
            plain = await handle().synthesize("Hello there.")
            quick = await handle(speed=1.25, style="calm").synthesize("Hello there.")
            return plain, quick

    plain, quick = simulate(scene)
    assert words_in(plain.audio) == ["Hello", "there."]
    assert (plain.rate, plain.duration_ms, quick.duration_ms) == (24000, 400, 320)
    assert [(word.text, word.start, word.end) for word in plain.words] == [
        ("Hello", 0, 4800),
        ("there.", 4800, 9600),
    ]


def test_text_that_comes_in_pieces_is_spoken_as_one():
    """As a model gives it, token by token."""

    async def tokens():
        for token in ("Hel", "lo", " there", ". How", " are you", "?"):
            await asyncio.sleep(0.1)
            yield token

    async def scene():
        service = CartesiaTtsEmulator()
        async with service.serving(HOST, PORT):
            speech = await handle().synthesize(tokens())
        return words_in(speech.audio), service.sessions[0].errors

    assert simulate(scene) == (["Hello", "there.", "How", "are", "you?"], [])


def test_a_voice_that_goes_quiet_is_silent():
    """The handle waits no longer than asked."""

    async def scene():
        service = CartesiaTtsEmulator(faults=[Faults(stall_after_audio_ms=200)])
        async with service.serving(HOST, PORT):
            with pytest.raises(Silent):
                await handle().synthesize("one two three", quiet_seconds=3)

    simulate(scene)


# ── the rules ───────────────────────────────────────────────────────────────────────────────


def test_it_keeps_the_rules():
    """What every voice promises."""

    @asynccontextmanager
    async def make(peer):
        service = CartesiaTtsEmulator(pace=peer.pace, faults=[peer.faults])
        async with service.serving(HOST, PORT):
            yield provider()

    assert check_text_to_speech(make).not_applicable == {}
