"""What may be said on a caller's websocket, version 1.

The caller speaks first: one `start` message, as text. Then binary messages are sound (mono 16-bit
little-endian PCM at the agreed rate) and text messages are JSON objects with a `type`. Before
`start` was accepted every refused message ends the connection; afterwards a malformed message is
answered with an error and the call goes on. Sending too much, too fast or nothing at all ends it
at any time. `docs/reference/websocket.md` is the same for readers.

`WireProtocol` knows no socket and no clock: the driver gives it each message and the time, and
asks it for the moment at which its patience ends.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, assert_never

import msgspec

from beluga_voice.events import (
    CallClosed,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    CallEvent,
    KeyPressed,
    SessionId,
    TalkKey,
)
from beluga_voice.interfaces import LineOptions, WireMessage

VERSION = 1
SUBPROTOCOL = "beluga.v1"
RATES = (8000, 16000, 24000, 48000)
SAMPLE_BYTES = 2


class WireCode(StrEnum):
    """Why a message, or a whole connection, was refused."""

    INVALID_JSON = "invalid_json"
    UNKNOWN_TYPE = "unknown_type"
    INVALID_FIELD = "invalid_field"
    INVALID_AUDIO_FORMAT = "invalid_audio_format"
    NOT_STARTED = "not_started"
    ALREADY_STARTED = "already_started"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNSUPPORTED_RATE = "unsupported_rate"
    START_TIMEOUT = "start_timeout"
    IDLE = "idle"
    TOO_FAST = "too_fast"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    SERVER_FULL = "server_full"
    SERVER_STOPPING = "server_stopping"
    SESSION_FAILED = "session_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one caller, and all of them together, may ask of the server."""

    max_sessions: int = 50
    max_message_bytes: int = 64 * 1024
    messages_per_second: float = 200.0
    """Sustained; twice as many may come at once."""
    audio_speed: float = 4.0
    """How much faster than real time sound may come, averaged over `audio_window_seconds`."""
    audio_window_seconds: float = 10.0
    start_seconds: float = 10.0
    """How long a connection may take to say `start`."""
    idle_seconds: float = 300.0
    """How long a caller may send nothing at all."""
    outbox_audio_seconds: float = 5.0
    """Sound that may wait for a caller who does not read, before the call is ended."""
    outbox_messages: int = 1000
    """Text messages that may wait likewise."""
    close_seconds: float = 5.0
    """How long a session, and then the connection, may take to end in order."""
    heartbeat_seconds: float = 20.0
    lead_ms: int = 100
    """How far ahead of real time sound is sent: what a caller's jitter buffer lives on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message or a connection is refused; the caller is told, and cut off if `is_fatal`."""

    code: WireCode
    message: str
    is_fatal: bool = False


class _Start(msgspec.Struct, frozen=True, tag="start"):
    version: int
    input_rate: int = 16000
    output_rate: int = 24000


class _Text(msgspec.Struct, frozen=True, tag="text"):
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]


class _Interrupt(msgspec.Struct, frozen=True, tag="interrupt"):
    pass


class _Key(msgspec.Struct, frozen=True, tag="key"):
    key: Annotated[str, msgspec.Meta(pattern=r"^[0-9*#A-D]\Z")]


class _TalkKey(msgspec.Struct, frozen=True, tag="talk_key"):
    is_down: bool


class _Stop(msgspec.Struct, frozen=True, tag="stop"):
    pass


type _ClientMessage = _Start | _Text | _Interrupt | _Key | _TalkKey | _Stop

_TYPES = ("start", "text", "interrupt", "key", "talk_key", "stop")


class _AnyMessage(msgspec.Struct, frozen=True):
    type: str


_decoder: msgspec.json.Decoder[_ClientMessage] = msgspec.json.Decoder(
    _Start | _Text | _Interrupt | _Key | _TalkKey | _Stop
)
_any_decoder = msgspec.json.Decoder(_AnyMessage)


class Budget:
    """An allowance that refills at `rate` a second up to `burst`, and is spent."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, *, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._since = now

    def spend(self, amount: float, *, now: float) -> bool:
        """Take `amount`; false, with nothing taken, when less is left."""
        left = self._left + (now - self._since) * self._rate
        if left > self._burst:
            left = self._burst
        self._since = now
        is_enough = amount <= left
        self._left = left - amount if is_enough else left
        return is_enough


class WireProtocol:
    """One connection's side of the rules: message and time in, meaning out."""

    def __init__(self, limits: Limits, *, now: float) -> None:
        self._limits = limits
        self._options: LineOptions | None = None
        self.heard_at = now
        """When a message came last, in seconds of the driver's clock."""
        self._messages = Budget(
            rate=limits.messages_per_second, burst=2 * limits.messages_per_second, now=now
        )
        self._sound = Budget(
            rate=limits.audio_speed, burst=limits.audio_speed * limits.audio_window_seconds, now=now
        )

    @property
    def options(self) -> LineOptions | None:
        """What the caller asked for in `start`; `None` before it was accepted."""
        return self._options

    def receive(self, message: WireMessage, *, now: float) -> LineOptions | CallEvent | Refusal:
        """What one message means: an accepted `start`, something for the session, or a refusal."""
        self.heard_at = now
        if not self._messages.spend(1, now=now):
            return Refusal(
                code=WireCode.TOO_FAST,
                message=f"more than {self._limits.messages_per_second:g} messages a second came; "
                "send sound in pieces of 20 ms or longer",
                is_fatal=True,
            )
        if isinstance(message, str):
            return self._receive_text(message)
        return self._receive_sound(message, now=now)

    def deadline(self) -> float:
        """The time at which `expire` has something to say, unless a message comes before."""
        if self._options is None:
            # Only an accepted start lifts this deadline, and any other message is fatal before.
            return self.heard_at + self._limits.start_seconds
        return self.heard_at + self._limits.idle_seconds

    def expire(self, *, now: float) -> Refusal | None:
        """The refusal that is due at `now`, if any."""
        if now < self.deadline():
            return None
        if self._options is None:
            return Refusal(
                code=WireCode.START_TIMEOUT,
                message=f"no start message came within {self._limits.start_seconds:g} s",
                is_fatal=True,
            )
        return Refusal(
            code=WireCode.IDLE,
            message=f"nothing was received for {self._limits.idle_seconds:g} s; "
            "start a new call when you are back",
            is_fatal=True,
        )

    def _receive_sound(self, pcm: bytes, *, now: float) -> CallerAudio | Refusal:
        if self._options is None:
            return _not_started("sound")
        if len(pcm) % SAMPLE_BYTES:
            return Refusal(
                code=WireCode.INVALID_AUDIO_FORMAT,
                message=f"{len(pcm)} bytes are not a whole number of 16-bit samples; "
                "send mono pcm16, little-endian",
            )
        seconds = len(pcm) / SAMPLE_BYTES / self._options.input_rate
        if not self._sound.spend(seconds, now=now):
            return Refusal(
                code=WireCode.TOO_FAST,
                message=f"sound came more than {self._limits.audio_speed:g} times faster than "
                "real time; send it at the speed at which it was spoken",
                is_fatal=True,
            )
        return CallerAudio(pcm=pcm)

    def _receive_text(self, text: str) -> LineOptions | CallEvent | Refusal:
        message = _parse(text)
        if self._options is None:
            match message:
                case Refusal():
                    return Refusal(code=message.code, message=message.message, is_fatal=True)
                case _Start():
                    return self._start(message)
                case _:
                    return _not_started("a message")
        match message:
            case Refusal():
                return message
            case _Start():
                return Refusal(
                    code=WireCode.ALREADY_STARTED,
                    message="the call was started before; one connection carries one call",
                )
            case _Text():
                return CallerText(text=message.text)
            case _Interrupt():
                return CallerInterrupt()
            case _Key():
                return KeyPressed(key=message.key)
            case _TalkKey():
                return TalkKey(is_down=message.is_down)
            case _Stop():
                return CallClosed(reason="the caller hung up")
            case _:
                assert_never(message)

    def _start(self, start: _Start) -> LineOptions | Refusal:
        if start.version != VERSION:
            return Refusal(
                code=WireCode.UNSUPPORTED_VERSION,
                message=f"version {start.version} is not spoken here; ask for {VERSION}",
                is_fatal=True,
            )
        for rate in (start.input_rate, start.output_rate):
            if rate not in RATES:
                return Refusal(
                    code=WireCode.UNSUPPORTED_RATE,
                    message=f"a rate of {rate} Hz is not carried; choose one of "
                    + ", ".join(map(str, RATES)),
                    is_fatal=True,
                )
        self._options = LineOptions(
            input_rate=start.input_rate,
            output_rate=start.output_rate,
            lead_ms=self._limits.lead_ms,
        )
        return self._options


def _not_started(what: str) -> Refusal:
    return Refusal(
        code=WireCode.NOT_STARTED,
        message=f'{what} came before the call was started; send {{"type": "start"}} first',
        is_fatal=True,
    )


def _parse(text: str) -> _ClientMessage | Refusal:
    try:
        return _decoder.decode(text)
    except msgspec.ValidationError as error:
        complaint = str(error)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Refusal(code=WireCode.INVALID_JSON, message="a text message is not valid JSON")
    try:
        kind = _any_decoder.decode(text).type
    except msgspec.ValidationError:
        return Refusal(
            code=WireCode.INVALID_JSON,
            message='a text message is not a JSON object with a string "type"',
        )
    if kind not in _TYPES:
        return Refusal(
            code=WireCode.UNKNOWN_TYPE,
            message="there is no message of that type; known: " + ", ".join(_TYPES),
        )
    return Refusal(code=WireCode.INVALID_FIELD, message=f"in {kind!r}: {complaint}")


# ── what the server says ────────────────────────────────────────────────────────────────────


class _Started(msgspec.Struct, frozen=True, tag="started"):
    version: int
    session_id: str
    input_rate: int
    output_rate: int


class _Error(msgspec.Struct, frozen=True, tag="error"):
    code: str
    message: str
    is_fatal: bool


class _Event(msgspec.Struct, frozen=True, tag="event"):
    event: msgspec.Raw


class _Clear(msgspec.Struct, frozen=True, tag="clear"):
    pass


def _encode(message: _Started | _Error | _Event | _Clear) -> str:
    return msgspec.json.encode(message).decode()


CLEAR = _encode(_Clear())
"""Fall silent now, and drop whatever was sent and has not sounded."""


def started(session_id: SessionId, options: LineOptions) -> str:
    """The answer to `start`: the session listens, and these are its rates."""
    return _encode(
        _Started(
            version=VERSION,
            session_id=session_id,
            input_rate=options.input_rate,
            output_rate=options.output_rate,
        )
    )


def event(encoded: str) -> str:
    """A session event, already in its JSON form, in an envelope."""
    return _encode(_Event(event=msgspec.Raw(encoded.encode())))


def error(refusal: Refusal) -> str:
    """A refusal, as the caller is told."""
    return _encode(_Error(code=refusal.code, message=refusal.message, is_fatal=refusal.is_fatal))
