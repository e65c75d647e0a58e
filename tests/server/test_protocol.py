"""What each message on a caller's websocket means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.backends.websocket import protocol
from beluga_voice.backends.websocket.protocol import (
    Heard,
    Limits,
    Refusal,
    Resume,
    SignOfLife,
    WireCode,
    WireProtocol,
)
from beluga_voice.events import (
    CallClosed,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    KeyPressed,
    SessionId,
    TalkKey,
)
from beluga_voice.interfaces import LineOptions

START = '{"type": "start", "version": 1, "input_rate": 16000, "output_rate": 24000}'


def in_call(limits: Limits | None = None) -> WireProtocol:
    wire = WireProtocol(limits or Limits(), now=0)
    assert isinstance(wire.receive(START, now=0), LineOptions)
    return wire


RESUME = '{"type": "resume", "version": 1, "token": "t", "position": 7, "event": 3}'


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ('{"type": "heard", "position": 480, "event": 7}', Heard(position=480, event=7)),
        ('{"type": "heard", "position": 480}', Heard(position=480, event=0)),
        ('{"type": "ping"}', SignOfLife.ASKED),
        ('{"type": "text", "text": "hello"}', CallerText(text="hello")),
        ('{"type": "text", "text": "hello", "mood": 7}', CallerText(text="hello")),
        ('{"type": "interrupt"}', CallerInterrupt()),
        ('{"type": "key", "key": "5"}', KeyPressed(key="5")),
        ('{"type": "key", "key": "#"}', KeyPressed(key="#")),
        ('{"type": "key", "key": "D"}', KeyPressed(key="D")),
        ('{"type": "talk_key", "is_down": true}', TalkKey(is_down=True)),
        ('{"type": "stop"}', CallClosed(reason="the caller hung up")),
    ],
)
def test_messages_become_events(text: str, meaning: object) -> None:
    """Every message of the table becomes its event, and unknown fields are ignored."""
    assert in_call().receive(text, now=0) == meaning


def test_binary_is_sound() -> None:
    """A binary message is sound, passed on as it came."""
    assert in_call().receive(b"\x01\x02" * 320, now=0) == CallerAudio(pcm=b"\x01\x02" * 320)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", WireCode.INVALID_JSON),
        ("", WireCode.INVALID_JSON),
        ("[]", WireCode.INVALID_JSON),
        ('"start"', WireCode.INVALID_JSON),
        ("{}", WireCode.INVALID_JSON),
        ('{"type": 3}', WireCode.INVALID_JSON),
        ("[" * 60_000, WireCode.INVALID_JSON),
        ('{"type": "dance"}', WireCode.UNKNOWN_TYPE),
        ('{"type": "text"}', WireCode.INVALID_FIELD),
        ('{"type": "text", "text": ""}', WireCode.INVALID_FIELD),
        ('{"type": "text", "text": 7}', WireCode.INVALID_FIELD),
        (json.dumps({"type": "text", "text": "a" * 4001}), WireCode.INVALID_FIELD),
        ('{"type": "key", "key": "55"}', WireCode.INVALID_FIELD),
        ('{"type": "key", "key": "5\\n"}', WireCode.INVALID_FIELD),
        ('{"type": "key", "key": "x"}', WireCode.INVALID_FIELD),
        ('{"type": "talk_key", "is_down": "yes"}', WireCode.INVALID_FIELD),
        ('{"type": "heard", "position": -1}', WireCode.INVALID_FIELD),
        ('{"type": "heard", "position": 1e300}', WireCode.INVALID_FIELD),
        ('{"type": "heard"}', WireCode.INVALID_FIELD),
        (START, WireCode.ALREADY_STARTED),
        (RESUME, WireCode.ALREADY_STARTED),
        (b"\x00" * 641, WireCode.INVALID_AUDIO_FORMAT),
    ],
)
def test_malformed_messages_are_refused_and_the_call_goes_on(
    message: str | bytes, code: WireCode
) -> None:
    """In a call a malformed message is refused with its code, and the next one is taken."""
    wire = in_call()
    refusal = wire.receive(message, now=0)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.is_fatal) == (code, False)
    assert wire.receive('{"type": "interrupt"}', now=0) == CallerInterrupt()


def test_the_longest_text_is_taken() -> None:
    """A text of 4000 characters is taken, whatever they are."""
    text = "\N{WHALE}" * 4000
    message = json.dumps({"type": "text", "text": text})
    assert in_call().receive(message, now=0) == CallerText(text=text)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\x00\x00", WireCode.NOT_STARTED),
        ('{"type": "text", "text": "hello"}', WireCode.NOT_STARTED),
        ('{"type": "stop"}', WireCode.NOT_STARTED),
        ("{", WireCode.INVALID_JSON),
        ('{"type": "begin"}', WireCode.UNKNOWN_TYPE),
        ('{"type": "ping"}', WireCode.NOT_STARTED),
        ('{"type": "resume", "version": 1}', WireCode.INVALID_FIELD),
        ('{"type": "resume", "version": 1, "token": ""}', WireCode.INVALID_FIELD),
        ('{"type": "resume", "version": 2, "token": "t"}', WireCode.UNSUPPORTED_VERSION),
        ('{"type": "start"}', WireCode.INVALID_FIELD),
        ('{"type": "start", "version": 2}', WireCode.UNSUPPORTED_VERSION),
        ('{"type": "start", "version": 1, "input_rate": 44100}', WireCode.UNSUPPORTED_RATE),
        ('{"type": "start", "version": 1, "output_rate": 11025}', WireCode.UNSUPPORTED_RATE),
    ],
)
def test_only_a_valid_start_opens_a_call(message: str | bytes, code: WireCode) -> None:
    """Before the call is started any other message is fatal, and opens nothing."""
    wire = WireProtocol(Limits(), now=0)
    refusal = wire.receive(message, now=0)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.is_fatal) == (code, True)
    assert wire.options is None


def test_a_caller_who_comes_back_is_in_a_call_once_that_was_found() -> None:
    """Until the driver says so nothing else may be said; then the rates are those of the call."""
    wire = WireProtocol(Limits(), now=0)
    assert wire.receive(RESUME, now=0) == Resume(token="t", position=7, event=3)
    assert wire.options is None
    for early in (RESUME, START, b"\0\0", '{"type": "stop"}'):
        refusal = wire.receive(early, now=0)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.is_fatal) == (WireCode.NOT_STARTED, True)
    options = LineOptions(input_rate=8000, output_rate=8000)
    wire.resumed(options)
    assert wire.options is options
    assert wire.can_resume
    assert wire.receive(b"\0\0", now=0) == CallerAudio(pcm=b"\0\0")


@pytest.mark.parametrize(
    ("resume", "seconds", "can_resume"),
    [("true", 30, True), ("false", 30, False), ("true", 0, False)],
)
def test_who_asks_for_it_can_come_back(resume: str, seconds: float, can_resume: bool) -> None:
    """A caller may come back who said so in `start`, where calls wait at all."""
    wire = WireProtocol(Limits(resume_seconds=seconds), now=0)
    wire.receive(f'{{"type": "start", "version": 1, "resume": {resume}}}', now=0)
    assert wire.can_resume is can_resume


def test_start_gives_the_line_its_rates() -> None:
    """An accepted start gives the line the rates that were asked for."""
    wire = WireProtocol(Limits(lead_ms=60), now=0)
    asked = '{"type": "start", "version": 1, "input_rate": 8000, "output_rate": 48000}'
    assert wire.receive(asked, now=0) == LineOptions(
        input_rate=8000, output_rate=48000, lead_ms=60, can_transfer=True
    )


def test_start_has_rates_of_its_own() -> None:
    """A start without rates takes 16 kHz in and 24 kHz out."""
    wire = WireProtocol(Limits(), now=0)
    options = wire.receive('{"type": "start", "version": 1}', now=0)
    assert isinstance(options, LineOptions)
    assert (options.input_rate, options.output_rate) == (16000, 24000)


def test_patience_for_a_start_ends() -> None:
    """A connection that says nothing is refused after exactly ten seconds."""
    wire = WireProtocol(Limits(start_seconds=10), now=100)
    assert wire.deadline() == 110
    assert wire.expire(now=109.999) is None
    refusal = wire.expire(now=110)
    assert refusal is not None
    assert (refusal.code, refusal.is_fatal) == (WireCode.START_TIMEOUT, True)


def test_patience_for_an_idle_caller_ends() -> None:
    """Each message renews the caller's time, and after the last of it the call ends."""
    wire = in_call(Limits(idle_seconds=300))
    wire.receive(b"", now=50)
    assert wire.deadline() == 350
    assert wire.expire(now=349) is None
    refusal = wire.expire(now=350)
    assert refusal is not None
    assert (refusal.code, refusal.is_fatal) == (WireCode.IDLE, True)


def test_messages_may_come_at_the_sustained_rate_for_ever() -> None:
    """200 messages a second are taken minute after minute."""
    wire = in_call(Limits(messages_per_second=200))
    for number in range(200 * 60):
        assert isinstance(wire.receive(b"\0\0", now=number / 200), CallerAudio)


def test_too_many_messages_end_the_call() -> None:
    """Twice the sustained rate may come at once, and one more ends the call."""
    wire = in_call(Limits(messages_per_second=200))
    outcomes = [wire.receive('{"type": "interrupt"}', now=0) for _ in range(400)]
    assert outcomes[:399] == [CallerInterrupt()] * 399
    assert isinstance(outcomes[399], Refusal)
    assert (outcomes[399].code, outcomes[399].is_fatal) == (WireCode.TOO_FAST, True)


def test_sound_faster_than_speech_ends_the_call() -> None:
    """Forty seconds of sound may come at once, then four a second, and not a sample more."""
    wire = in_call()
    second = b"\0" * 32000
    for _ in range(40):
        assert isinstance(wire.receive(second, now=1), CallerAudio)
    for _ in range(4):
        assert isinstance(wire.receive(second, now=2), CallerAudio)
    refusal = wire.receive(b"\0\0", now=2)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.is_fatal) == (WireCode.TOO_FAST, True)


@given(
    st.one_of(
        st.text(),
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.just("start"),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["type", "text", "key"]), inner)
            ),
        ).map(json.dumps),
    )
)
def test_no_message_breaks_the_protocol(message: str | bytes) -> None:
    """Whatever comes, it is an event or a refusal, and the call can go on."""
    wire = in_call()
    wire.receive(message, now=0)
    assert wire.receive('{"type": "interrupt"}', now=0) == CallerInterrupt()


def test_what_the_server_says() -> None:
    """The server's messages are these objects."""
    options = LineOptions(input_rate=8000, output_rate=16000)
    assert json.loads(protocol.started(SessionId("s1"), options)) == {
        "type": "started",
        "version": 1,
        "session_id": "s1",
        "input_rate": 8000,
        "output_rate": 16000,
    }
    assert json.loads(protocol.CLEAR) == {"type": "clear"}
    assert json.loads(protocol.event('{"v": 1, "type": "barged_in"}')) == {
        "type": "event",
        "event": {"v": 1, "type": "barged_in"},
    }
    refusal = Refusal(code=WireCode.IDLE, message="nobody is there", is_fatal=True)
    assert json.loads(protocol.error(refusal)) == {
        "type": "error",
        "code": "idle",
        "message": "nobody is there",
        "is_fatal": True,
    }
