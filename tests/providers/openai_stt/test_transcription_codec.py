"""The codec of live transcription: whose an item is, in what order, and what no message may do."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.errors import BrokenProtocol, ConfigurationError, Unsupported
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    Transcript,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.openai import OpenAIStt
from beluga_voice.providers.stt.openai._capabilities import capabilities
from beluga_voice.providers.stt.openai._codec import TranscriptionCodec
from beluga_voice.providers.stt.openai._options import Settings, url_of
from beluga_voice.providers.tick import TICK
from providers.openai_stt.openai_stt_stage import CLIENT_EVENT

KIND = "conversation.item.input_audio_transcription"
SOUND = b"\x01\x02" * 4800
"""200 ms at 24 kHz."""


class Wire:
    """A codec with a clock, and messages as dictionaries."""

    def __init__(self, options=None, model="gpt-live-transcribe", *, ready=True, **settings):
        self.time = 0.0
        self.rings = 0
        self.codec = TranscriptionCodec(
            options or SttOptions(),
            Settings(model=model, transport="realtime", **settings),
            capabilities(model, "realtime"),
            now=lambda: self.time,
            changed=self._ring,
        )
        self.hello = self._read(self.codec.hello())
        if ready:
            self.hear("session.updated", session={"id": "s"})

    def _ring(self):
        self.rings += 1

    def _read(self, messages):
        found = [json.loads(message) for message in messages]
        for one in found:
            CLIENT_EVENT.validate_python(one)
        return found

    def send(self, *commands):
        return [one for command in commands for one in self._read(self.codec.encode(command))]

    def say(self):
        return self.send(SendAudio(pcm=SOUND))

    def finish(self, name):
        return self.send(FinishUtterance(utterance_id=UtteranceId(name)))

    def hear(self, kind, **fields):
        return self.codec.decode(json.dumps({"type": kind, **fields}))

    def delta(self, item, text):
        return self.hear(f"{KIND}.delta", item_id=item, delta=text)

    def committed(self, item):
        return self.hear("input_audio_buffer.committed", item_id=item)

    def completed(self, item, text, **fields):
        return self.hear(f"{KIND}.completed", item_id=item, transcript=text, **fields)

    def tick(self):
        return self.codec.decode(TICK)


def final(name, text, **fields):
    return Transcript(text=text, is_final=True, utterance_id=UtteranceId(name), **fields)


def test_the_configuration_has_everything_that_was_asked_for():
    """Language, keywords, prompt and format are in the first message, and no turn detection."""
    options = SttOptions(language="de-AT", phrases=("Wien",))
    (hello,) = Wire(options, prompt="A call.", noise_reduction="far_field").hello
    assert hello["session"] == {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "transcription": {
                    "model": "gpt-live-transcribe",
                    "language": "de",
                    "prompt": "A call.",
                    "keywords": ["Wien"],
                },
                "turn_detection": None,
                "noise_reduction": {"type": "far_field"},
            }
        },
    }


def test_it_is_ready_once_it_is_configured():
    """The first answer to the settings counts, and no other."""
    wire = Wire(ready=False)
    assert wire.hear("session.created", session={"id": "s"}) == []
    ready = LinkReady(remote_id="s", model="gpt-live-transcribe")
    assert wire.hear("session.updated", session={"id": "s"}) == [ready]
    assert wire.hear("session.updated", session={"id": "s"}) == []


def test_an_interim_transcript_is_the_whole_so_far():
    """Deltas come before the commit, and add up."""
    wire = Wire()
    wire.say()
    assert wire.delta("i1", "one") == [Transcript(text="one", is_final=False)]
    assert wire.delta("i1", " two") == [Transcript(text="one two", is_final=False)]


def test_transcripts_out_of_order_are_told_in_order():
    """The second utterance waits for the first."""
    wire = Wire()
    wire.say()
    wire.finish("a")
    wire.say()
    wire.finish("b")
    assert wire.committed("i1") == []
    assert wire.committed("i2") == []
    assert wire.completed("i2", "second") == []
    assert wire.completed("i1", "first") == [final("a", "first"), final("b", "second")]
    assert wire.completed("i1", "first") == []


def test_words_of_the_last_utterance_are_not_those_of_the_next():
    """A delta that comes before the commit is acknowledged belongs to what was said before it."""
    wire = Wire()
    wire.say()
    wire.finish("a")
    wire.say()
    assert wire.delta("i1", "old") == []
    wire.committed("i1")
    assert wire.delta("i2", "new") == []
    assert wire.completed("i1", "old") == [final("a", "old")]
    assert wire.delta("i2", " words") == [Transcript(text="new words", is_final=False)]


def test_what_was_dropped_is_told_by_nobody():
    """An item of it is known by what was acknowledged so far."""
    wire = Wire()
    wire.say()
    wire.finish("a")
    wire.say()
    assert [one["type"] for one in wire.send(DropUtterance())] == ["input_audio_buffer.clear"]
    wire.say()
    wire.committed("i1")
    assert wire.delta("i2", "dropped") == []
    wire.hear("input_audio_buffer.cleared")
    assert wire.delta("i2", " still") == []
    assert wire.completed("i1", "kept") == [final("a", "kept")]
    assert wire.delta("i3", "new") == [Transcript(text="new", is_final=False)]
    assert wire.send(DropUtterance(), DropUtterance())[1:] == []


def test_an_utterance_without_sound_is_answered_without_asking():
    """It is empty, and nothing is sent."""
    wire = Wire()
    assert wire.finish("a") == []
    assert (wire.codec.deadline, wire.rings) == (0.0, 1)
    assert wire.tick() == [final("a", "")]
    assert wire.codec.deadline is None


def test_a_short_utterance_is_filled_up():
    """The service refuses less than 100 ms."""
    wire = Wire()
    wire.send(SendAudio(pcm=b"\1\2" * 240 + b"\3"))
    append, commit = wire.finish("a")
    assert len(append["audio"]) == 90 * 24 * 2 * 4 // 3
    assert commit == {"type": "input_audio_buffer.commit", "event_id": "commit_1"}


def test_a_refused_commit_is_an_empty_answer():
    """The error names the commit; it is nobody's failure."""
    wire = Wire()
    wire.say()
    wire.finish("a")
    error = {"code": "input_audio_buffer_commit_empty", "event_id": "commit_1"}
    assert wire.hear("error", error=error) == [final("a", "")]


def test_a_failed_transcription_gives_what_was_understood_before():
    """The failure is told, and the utterance is answered."""
    wire = Wire()
    wire.say()
    wire.delta("i1", "half of")
    wire.finish("a")
    wire.committed("i1")
    error = {"code": "server_error", "message": "It failed."}
    failed, answered = wire.hear(f"{KIND}.failed", item_id="i1", error=error)
    assert failed == ServiceFailed(
        category=ErrorCategory.RETRYABLE,
        message="server_error: It failed.",
        provider_code="server_error",
    )
    assert answered == final("a", "half of")


def test_words_that_never_become_final_end_the_link():
    """The deadline is that of the utterance, however many words still come."""
    wire = Wire(answer_seconds=4)
    wire.say()
    wire.time = 1
    wire.finish("a")
    wire.committed("i1")
    wire.time = 4.9
    wire.delta("i1", "on and on")
    assert wire.tick() == []
    assert wire.codec.deadline == 5
    wire.time = 5
    (failed,) = wire.tick()
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert wire.codec.deadline is None


def test_usage_and_language_are_told():
    """Both come with the transcript, where the service gives them."""
    wire = Wire()
    wire.say()
    wire.finish("a")
    wire.committed("i1")
    usage = {"type": "duration", "seconds": 0.2}
    told = wire.completed("i1", "hallo", usage=usage, languages=[{"code": "de"}])
    assert told == [
        UsageReported(usage=Usage(audio_seconds=0.2)),
        final("a", "hallo", language="de"),
    ]


@pytest.mark.parametrize(
    ("error", "category", "is_fatal"),
    [
        ({"code": "invalid_api_key", "message": "sk-1 is wrong"}, ErrorCategory.AUTH, False),
        ({"type": "invalid_request_error"}, ErrorCategory.INVALID_REQUEST, False),
        ({"code": "session_expired"}, ErrorCategory.SESSION_EXPIRED, True),
        ({"code": "insufficient_quota"}, ErrorCategory.INVALID_REQUEST, False),
        ({"code": "rate_limit_exceeded"}, ErrorCategory.RATE_LIMIT, False),
        ({"code": "new"}, ErrorCategory.RETRYABLE, False),
    ],
)
def test_an_error_says_what_can_be_done(error, category, is_fatal):
    """Most leave the session alive, and none quotes a key."""
    (failed,) = Wire().hear("error", error=error)
    assert (failed.category, failed.is_fatal) == (category, is_fatal)
    assert "sk-1" not in failed.message
    (refused,) = Wire(ready=False).hear("error", error=error)
    assert refused.is_fatal


def test_a_session_that_lasted_too_long_says_so():
    """The close is told as its expiry."""
    failed, closed = Wire().codec.closed(
        is_clean=True, code=1001, reason="hit the maximum duration of 60 minutes"
    )
    assert failed.category is ErrorCategory.SESSION_EXPIRED
    assert closed == LinkClosed(
        is_clean=False, reason="hit the maximum duration of 60 minutes", code=1001
    )


def test_the_address_names_the_model_to_others_alone():
    """OpenAI refuses it for a transcription."""
    own = url_of("wss://api.openai.com/v1", "m", sends_model=None)
    other = url_of("ws://localhost:8000/v1", "m", sends_model=None)
    assert own == "wss://api.openai.com/v1/realtime?intent=transcription"
    assert other == "ws://localhost:8000/v1/realtime?intent=transcription&model=m"


@pytest.mark.parametrize(
    "settings",
    [
        {"model": ""},
        {"transport": "rest"},
        {"model": "gpt-transcribe", "transport": "smoke"},
        {"delay": "low"},
        {"model": "gpt-realtime-whisper", "prompt": "x"},
        {"model": "gpt-transcribe", "noise_reduction": "near_field"},
        {"answer_seconds": 0},
        {"endpoint": "api.openai.com"},
        {"endpoint": "https://[::1"},
        {"endpoint": "https://h/v1?x=1"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    """They are found before anything is connected."""
    with pytest.raises(ConfigurationError):
        OpenAIStt(**settings)


@pytest.mark.parametrize(
    "options",
    [SttOptions(language="x-klingon"), SttOptions(wants_words=True), SttOptions(alternatives=2)],
)
def test_options_it_cannot_honour_are_refused(options):
    """The capability is named."""

    async def connect():
        async with OpenAIStt(api_key="k").connect(options):
            pass

    with pytest.raises(Unsupported):
        connect().send(None)


@given(st.one_of(st.text(), st.binary()))
def test_noise_is_broken_protocol_or_nothing(noise):
    """Nothing else comes of it."""
    with suppress(BrokenProtocol):
        assert Wire().codec.decode(noise) == []


_ITEMS = st.sampled_from(["i1", "i2", "i3"])
_MESSAGES = st.one_of(
    st.builds(lambda i: {"type": "input_audio_buffer.committed", "item_id": i}, _ITEMS),
    st.builds(lambda i: {"type": f"{KIND}.delta", "item_id": i, "delta": "x"}, _ITEMS),
    st.builds(lambda i: {"type": f"{KIND}.completed", "item_id": i, "transcript": "y"}, _ITEMS),
    st.builds(lambda i: {"type": f"{KIND}.failed", "item_id": i}, _ITEMS),
    st.just({"type": "input_audio_buffer.cleared"}),
    st.just({"type": "error", "error": {"event_id": "commit_1"}}),
)


@given(st.lists(st.one_of(_MESSAGES, st.sampled_from(["say", "finish", "drop", "tick"]))))
def test_each_utterance_is_answered_once_at_most_and_in_order(steps):
    """Whatever the service says, and when."""
    wire, asked, told = Wire(), [], []
    for step in steps:
        events = []
        match step:
            case "say":
                wire.say()
            case "finish":
                asked.append(f"u{len(asked)}")
                wire.finish(asked[-1])
            case "drop":
                wire.send(DropUtterance())
            case "tick":
                events = wire.tick()
            case _:
                events = wire.hear(
                    **{"kind": step["type"]}, **{k: step[k] for k in step if k != "type"}
                )
        told += [e.utterance_id for e in events if isinstance(e, Transcript) and e.is_final]
    assert told == asked[: len(told)]


LOUD = b"\x00\x20" * 24000
"""A second of sound that is no silence."""


def test_a_service_that_says_nothing_to_a_voice_is_asked_for_a_sign_of_life():
    """By a commit, once; whatever it says is one, and nothing of the utterance is lost."""
    wire = Wire(quiet_seconds=2)
    assert [one["type"] for one in wire.send(SendAudio(pcm=LOUD))] == ["input_audio_buffer.append"]
    *_, probe = wire.send(SendAudio(pcm=LOUD))
    assert (probe["type"], probe["event_id"]) == ("input_audio_buffer.commit", "commit_1")
    assert wire.codec.deadline == 10
    assert [one["type"] for one in wire.send(SendAudio(pcm=LOUD))] == ["input_audio_buffer.append"]
    wire.committed("i1")
    assert wire.codec.deadline is None
    assert wire.completed("i1", "one two") == []
    wire.finish("a")
    wire.committed("i2")
    assert wire.completed("i2", "three") == [final("a", "one two three")]


def test_a_service_without_a_sign_of_life_is_given_up():
    """In as long as an answer may take, though the utterance goes on."""
    wire = Wire(quiet_seconds=1, answer_seconds=4)
    wire.send(SendAudio(pcm=LOUD))
    wire.time = 4
    (failed,) = wire.tick()
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert "said nothing to a voice, nor in 4 s when asked to" in failed.message


def test_what_was_dropped_after_a_sign_of_life_was_asked_for_is_told_by_nobody():
    """The part that was committed for it goes with the rest."""
    wire = Wire(quiet_seconds=1)
    wire.send(SendAudio(pcm=LOUD))
    wire.send(DropUtterance())
    wire.committed("i1")
    wire.hear("input_audio_buffer.cleared")
    assert wire.completed("i1", "dropped") == []
    wire.say()
    wire.finish("a")
    wire.committed("i2")
    assert wire.completed("i2", "new") == [final("a", "new")]


def test_a_model_that_tells_words_at_the_end_alone_is_not_asked():
    """It owes nothing before."""
    wire = Wire(model="gpt-transcribe", quiet_seconds=1)
    assert [one["type"] for one in wire.send(SendAudio(pcm=LOUD))] == ["input_audio_buffer.append"]
    assert wire.codec.deadline is None
