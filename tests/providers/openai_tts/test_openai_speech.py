"""OpenAI's speech over REST in simulated time: contexts, faults, conversations, and the rules."""

import asyncio
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import beluga_voice
from beluga_voice.agents.functions import agent_of
from beluga_voice.audio.wav import write_wav
from beluga_voice.errors import (
    BrokenProtocol,
    ConfigurationError,
    Denied,
    MissingExtra,
    Rejected,
    Unreachable,
    Unsupported,
)
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    Message,
    Role,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    UsageReported,
)
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.tts.openai import OpenAITts
from beluga_voice.providers.tts.openai._body import Body, kind_of
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_text_to_speech
from beluga_voice.testing.emulators.openai_http import KEY, OpenAIHttpEmulator
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedVad
from beluga_voice.testing.speech import words_in

HOST, PORT = "speech.example.com", 80
A, B = ContextId("a"), ContextId("b")
LONG = "one two three four five six seven eight nine ten."


def provider(**settings):
    """A provider for the emulated service."""
    return OpenAITts(**{"api_key": KEY, "endpoint": f"http://{HOST}/v1", **settings})


@dataclass
class Desk:
    """A link, and what came over it, each event with its milliseconds of the loop's clock."""

    link: Any
    service: OpenAIHttpEmulator
    told: list = field(default_factory=list)

    def hear(self, event):
        self.told.append((round(asyncio.get_running_loop().time() * 1000, 3), event))

    def of(self, kind):
        return [event for _, event in self.told if isinstance(event, kind)]

    def speak(self, context_id, *pieces):
        for text in pieces:
            self.link.send(SpeakText(context_id=context_id, text=text))
        self.link.send(FinishSpeech(context_id=context_id))

    def heard(self, context_id):
        sounds = self.of(SpeechAudio)
        return " ".join(words_in(b"".join(o.pcm for o in sounds if o.context_id == context_id)))


@asynccontextmanager
async def desk(service=None, options=None, **settings):
    """A link to the emulated service."""
    service = service or OpenAIHttpEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or TtsOptions()) as link,
    ):
        at = Desk(link, service)
        link.attach(at.hear)
        yield at


@pytest.mark.parametrize("reply", ["events", "raw"])
def test_sentences_are_spoken_in_order_and_asked_for_ahead(reply):
    """The second is asked for while the first comes; the third waits for the first."""

    async def scene():
        service = OpenAIHttpEmulator(pace=Pace(thinking_ms=100, word_ms=100), reply=reply)
        async with desk(service) as at:
            at.speak(A, "One two. ", "Three four. ", "Five.")
            await asyncio.sleep(2)
            firsts = [t for t, event in at.told if isinstance(event, SpeechAudio)]
            done = [t for t, event in at.told if isinstance(event, SpeechDone)]
            return at.heard(A), firsts, done, [one.fields["input"] for one in service.exchanges]

    heard, sounds, done, asked = simulate(scene)
    assert heard == "One two. Three four. Five."
    assert sounds == [100, 200, 300, 300, 400]
    assert done == [500]
    assert asked == ["One two.", "Three four.", "Five."]


def test_two_requests_of_a_context_are_under_way_at_most():
    """However many sentences wait."""

    async def scene():
        service = OpenAIHttpEmulator(pace=Pace(thinking_ms=100))
        async with desk(service) as at:
            at.speak(A, "One. Two. Three. Four. Five.")
            await asyncio.sleep(2)
            return service.most_running, at.heard(A)

    assert simulate(scene) == (2, "One. Two. Three. Four. Five.")


def test_text_does_not_wait_for_what_may_never_come():
    """A sentence is spoken after 50 ms without more text, half of one after 500 ms."""

    async def scene():
        async with desk() as at:
            at.link.send(SpeakText(context_id=A, text="One two."))
            at.link.send(SpeakText(context_id=B, text="Three four"))
            await asyncio.sleep(1)
            return [(t, e.context_id) for t, e in at.told if isinstance(e, SpeechAudio)]

    assert simulate(scene) == [(50, A), (50, A), (500, B), (500, B)]


def test_a_number_that_comes_in_pieces_is_one_number():
    """A mark ends a sentence only if nothing follows."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with desk(service) as at:
            at.speak(A, "It is 3.", "5 degrees.")
            await asyncio.sleep(1)
            return [one.fields["input"] for one in service.exchanges]

    assert simulate(scene) == ["It is 3.5 degrees."]


def test_a_cancelled_context_is_silent_at_once():
    """Its requests are broken off, what is sent for it later is ignored, and others go on."""

    async def scene():
        service = OpenAIHttpEmulator(pace=Pace(word_ms=100))
        async with desk(service) as at:
            at.speak(A, "One two three. Four five six.")
            at.link.send(SpeakText(context_id=B, text="Seven eight nine."))
            await asyncio.sleep(0.15)
            at.link.send(CancelSpeech(context_id=A))
            at.speak(A, "Too late.")
            at.link.send(FinishSpeech(context_id=B))
            await asyncio.sleep(2)
            whole = {one.fields["input"]: one.is_whole for one in service.exchanges}
            return at.heard(A), at.heard(B), [one.context_id for one in at.of(SpeechDone)], whole

    heard, other, done, whole = simulate(scene)
    assert (heard, other, done) == ("One two", "Seven eight nine.", [B])
    assert whole == {"One two three.": False, "Four five six.": False, "Seven eight nine.": True}


def test_a_context_without_words_is_done_and_asks_for_nothing():
    """Marks and nothing at all have no sound."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with desk(service) as at:
            at.speak(A)
            at.speak(B, "... ", "!")
            await asyncio.sleep(1)
            return at.told[1:], service.exchanges

    told, exchanges = simulate(scene)
    assert [event for _, event in told if isinstance(event, SpeechDone)] == [
        SpeechDone(context_id=A),
        SpeechDone(context_id=B),
    ]
    assert exchanges == []


def test_the_request_has_everything_that_was_asked_for():
    """Voice, speed and style; a voice of one's own by its id."""

    async def scene():
        service = OpenAIHttpEmulator()
        options = TtsOptions(voice="voice_1", speed=2.0, style="Whisper.")
        async with desk(service, options) as at:
            at.speak(A, "One two.")
            await asyncio.sleep(1)
            usage = at.of(UsageReported)[0].usage
            return service.exchanges[0].fields, usage

    fields, usage = simulate(scene)
    assert fields == {
        "model": "gpt-4o-mini-tts",
        "input": "One two.",
        "voice": {"id": "voice_1"},
        "response_format": "pcm",
        "stream_format": "sse",
        "instructions": "Whisper.",
        "speed": 2.0,
    }
    assert (usage.characters, usage.input_tokens, usage.output_tokens) == (8, 2, 20)


def test_a_plain_model_is_asked_plainly():
    """`tts-1` knows no events, and takes no instructions."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with desk(service, model="tts-1") as at:
            at.speak(A, "One.")
            await asyncio.sleep(1)
            return at.heard(A), "stream_format" in service.exchanges[0].fields

    assert simulate(scene) == ("One.", False)
    assert "style" not in provider(model="tts-1").capabilities.settings


# ── what goes wrong ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("reply", "heard", "words"),
    [
        ("wav", "One two.", "header was left out"),
        ("odd", "One two.", "inside a sample"),
        ("empty", "", "without a sound"),
    ],
)
def test_a_flaw_in_the_sound_is_named(reply, heard, words):
    """The context is spoken as far as it can be, and ends."""

    async def scene():
        async with desk(OpenAIHttpEmulator(reply=reply)) as at:
            at.speak(A, "One two.")
            await asyncio.sleep(1)
            return at.heard(A), at.of(ServiceFailed), at.of(SpeechDone)

    found, (failed,), done = simulate(scene)
    assert found == heard
    assert words in failed.message
    assert not failed.is_fatal
    assert len(done) == 1


@pytest.mark.parametrize(
    ("service", "settings", "category", "words", "at_ms"),
    [
        (OpenAIHttpEmulator(reply="mp3"), {}, ErrorCategory.INVALID_REQUEST, "audio/mpeg", 0),
        (
            OpenAIHttpEmulator(reply="wav"),
            {"rate": 16000},
            ErrorCategory.INVALID_REQUEST,
            "24000 Hz",
            0,
        ),
        (
            OpenAIHttpEmulator(faults=[Faults(refuse_status=429, retry_after="9")]),
            {},
            ErrorCategory.RATE_LIMIT,
            "429",
            0,
        ),
        (
            OpenAIHttpEmulator(faults=[Faults(stall_after_audio_ms=300)]),
            {"quiet_seconds": 4},
            ErrorCategory.TIMEOUT,
            "quiet",
            4000,
        ),
        (
            OpenAIHttpEmulator(faults=[Faults(is_mute=True)]),
            {"quiet_seconds": 4},
            ErrorCategory.TIMEOUT,
            "quiet",
            4000,
        ),
        (
            OpenAIHttpEmulator(faults=[Faults(malformed_after_audio_ms=100)]),
            {},
            ErrorCategory.RETRYABLE,
            "cannot be read",
            0,
        ),
        (
            OpenAIHttpEmulator(faults=[Faults(drop_after_audio_ms=300)]),
            {},
            ErrorCategory.RETRYABLE,
            "broke",
            0,
        ),
        (OpenAIHttpEmulator(), {"voice": "nobody"}, ErrorCategory.INVALID_REQUEST, "voice", 0),
    ],
)
def test_a_failure_ends_the_link_and_says_why(service, settings, category, words, at_ms):
    """No sentence is left out in silence."""

    async def scene():
        async with desk(service, **settings) as at:
            at.speak(A, "One two three.")
            await asyncio.sleep(10)
            return at.told[-2:], at.of(SpeechDone)

    ((at, failed), (_, closed)), done = simulate(scene)
    assert (failed.category, failed.is_fatal, at) == (category, True, at_ms)
    assert words in failed.message
    assert isinstance(closed, LinkClosed)
    assert not closed.is_clean
    assert done == []


def test_a_connection_that_broke_before_any_sound_is_tried_once_more():
    """Nobody hears of it."""

    async def scene():
        faults = [Faults(drop_after_audio_ms=0)]
        async with desk(OpenAIHttpEmulator(faults=faults)) as at:
            at.speak(A, "One two.")
            await asyncio.sleep(1)
            return at.heard(A), at.of(ServiceFailed)

    assert simulate(scene) == ("One two.", [])


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"api_key": "sk-wrong"}, Denied),
        ({"model": "tts-9"}, Rejected),
        ({"endpoint": "http://nobody.example.com/v1"}, Unreachable),
    ],
)
def test_connecting_says_what_is_wrong(settings, kind):
    """Key, model and address are found out before the first sentence."""

    async def scene():
        with pytest.raises(kind) as caught:
            async with desk(**settings):
                pass
        return str(caught.value)

    assert "sk-wrong" not in simulate(scene)


def test_without_its_library_it_says_what_to_install(monkeypatch):
    """The extra is named."""
    monkeypatch.setitem(sys.modules, "httpx", None)

    async def scene():
        with pytest.raises(MissingExtra, match=r"beluga-voice\[openai\]"):
            async with desk():
                pass

    simulate(scene)


def test_what_it_cannot_honour_is_refused():
    """Before anything is connected."""

    async def scene():
        for options in (TtsOptions(speed=5.0), TtsOptions(pitch=2.0), TtsOptions(wants_words=True)):
            with pytest.raises(Unsupported):
                async with provider().connect(options):
                    pass

    simulate(scene)
    with pytest.raises(ConfigurationError):
        OpenAITts(endpoint="nowhere")
    with pytest.raises(ConfigurationError):
        OpenAITts("")


# ── bodies ──────────────────────────────────────────────────────────────────────────────────


@given(st.data())
def test_a_wav_header_is_found_however_the_body_is_cut(data):
    """What is left is the sound."""
    pcm = bytes(range(256)) * 8
    whole = write_wav(None, pcm, 24000)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    body = Body("raw", 24000)
    edges = [0, *cuts, len(whole)]
    pieces = [whole[a:b] for a, b in pairwise(edges)]
    assert b"".join(body.feed(piece) for piece in pieces) + body.end() == pcm
    assert len(body.problems) == 1


@given(st.binary(), st.integers(1, 9))
def test_raw_sound_is_given_in_whole_samples(sound, size):
    """None of it is lost but half a sample at the end."""
    body = Body("raw", 24000)
    pieces = [sound[at : at + size] for at in range(0, len(sound), size)]
    given_out = [body.feed(piece) for piece in pieces] + [body.end()]
    assert all(len(one) % 2 == 0 for one in given_out)
    if not sound.startswith(b"RIFF"):
        assert b"".join(given_out) == sound[: len(sound) & ~1]


@given(st.binary())
def test_noise_in_events_is_broken_protocol_or_a_problem(noise):
    """Nothing else comes of it."""
    body = Body("events", 24000)
    try:
        body.feed(b"data: " + noise + b"\n\n")
    except BrokenProtocol:
        return
    body.end()
    assert body.problems or body.is_over


def test_an_error_among_events_is_told():
    """It ends the answer, with the service's own reason."""
    body = Body("events", 24000)
    body.feed(b'data: {"type":"error","error":{"code":"rate_limit_exceeded","message":"slow"}}\n\n')
    body.end()
    (failed,) = body.problems
    assert (failed.category, failed.is_fatal) == (ErrorCategory.RATE_LIMIT, True)


def test_what_an_answer_holds_is_told_by_its_type():
    """A file that has to be decoded is none of ours."""
    assert kind_of("text/event-stream; charset=utf-8") == "events"
    assert kind_of("application/octet-stream") == kind_of("audio/pcm") == kind_of("") == "raw"
    assert kind_of("audio/mpeg") is kind_of("application/json") is None


# ── as a whole ──────────────────────────────────────────────────────────────────────────────


async def reply(text):
    """Count for long, unless told to stop."""
    return "Fine." if "stop" in text else LONG if "count" in text else f"You said {text}."


def test_three_turns_with_an_interruption():
    """Each answer is heard; of the one that was cut, the history has what was heard."""

    async def scene():
        service = OpenAIHttpEmulator(pace=Pace(thinking_ms=100, word_ms=50))
        caller = ScriptedCaller()
        async with service.serving(HOST, PORT):
            cascade = Cascade(ScriptedStt(delay_ms=50), agent_of(reply), provider())
            session = Session(cascade, line=caller, detector=ScriptedVad())
            async with session, caller.on(session):
                for text in ("hello there", "please count", "stop now"):
                    await caller.say(text)
                    await asyncio.sleep(3 if text != "please count" else 2)
                said = [one for one in session.history if isinstance(one, Message)]
                return said, caller.heard

    said, heard = simulate(scene)
    first, cut, last = [one for one in said if one.role is Role.AGENT]
    assert (first.text, last.text) == ("You said hello there.", "Fine.")
    assert cut.is_cut
    assert cut.text
    assert LONG.startswith(cut.text)
    # Without times of words, the cut word is placed by proportion.
    assert heard.startswith("You said hello there. one two")
    assert heard.endswith("Fine.")


def test_a_text_is_spoken_through_the_handle():
    """The service is well, and lists its voices."""

    async def scene():
        async with OpenAIHttpEmulator().serving(HOST, PORT):
            handle = beluga_voice.tts(provider(), voice="nova")
            health = await handle.health()
            speech = await handle.synthesize("Hello there. How are you?")
            voices = await handle.voices()
        return health.is_healthy, words_in(speech.audio), [voice.id for voice in voices][:2]

    assert simulate(scene) == (True, ["Hello", "there.", "How", "are", "you?"], ["alloy", "ash"])


@asynccontextmanager
async def peer_of(peer):
    """A service as the suite wants it."""
    service = OpenAIHttpEmulator(pace=peer.pace, faults=[peer.faults] * 50)
    async with service.serving(HOST, PORT):
        yield provider()


def test_the_rules_of_voices_are_kept():
    """All of them, but for the times of words, which it does not give."""
    assert set(check_text_to_speech(peer_of).not_applicable) == {"WORDS_AFTER_AUDIO"}
