"""What may be said on a caller's websocket, version 1.

The caller speaks first: one `start` message, as text. Then binary messages are sound (mono 16-bit
little-endian PCM at the agreed rate) and text messages are JSON objects with a `type`. Before
`start` was accepted every refused message ends the connection; afterwards a malformed message is
answered with an error and the call goes on. Sending too much, too fast or nothing at all ends it
at any time. `docs/reference/websocket.md` is the same for readers.

A caller who asks in `start` to come back is given a token, and counts: every sample of the call has
a position, from 0, and every event a number. It says with `heard` how far it is, and with `resume`,
as the first message of another connection, where to go on. A `clear` says at which position the
sound after it begins.

`WireProtocol` knows no socket and no clock: the driver gives it each message and the time, and
asks it for the moment at which its patience ends.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
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
    TENANT_FULL = "tenant_full"
    PROVIDER_FULL = "provider_full"
    RESUME_REFUSED = "resume_refused"
    SESSION_FAILED = "session_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one caller, and all of them together, may ask of the server."""

    max_sessions: int = 50
    max_sessions_per_tenant: int | None = None
    """Of those, how many one tenant may have; who that is, the application says."""
    max_sessions_per_provider: int | None = None
    """Of those, how many may use one provider; which one it is, the application says."""
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
    """A caller who sends nothing for so long is asked for a sign of life, and is taken to be gone
    when half as long again has passed without one."""
    resume_seconds: float = 30.0
    """How long a call waits for a caller who was lost and can come back; 0: not at all."""
    unheard_seconds: float = 60.0
    """Sound that is kept until such a caller has heard it; beyond it, the oldest goes."""
    unseen_events: int = 500
    """Events that are kept likewise."""
    lead_ms: int = 100
    """How far ahead of real time sound is sent: what a caller's jitter buffer lives on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A message or a connection is refused; the caller is told, and cut off if `is_fatal`."""

    code: WireCode
    message: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A caller is back: `position` is the first sample it lacks, `event` the first event."""

    token: str
    position: int
    event: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How far a caller is: everything before these was heard, and seen."""

    position: int
    event: int
    ago_ms: float = 0.0
    """How long ago that was, with the way of the message, where the caller knows."""


class SignOfLife(Enum):
    """A caller wants to know whether we are there."""

    ASKED = auto()


type Received = LineOptions | Resume | Heard | SignOfLife | CallEvent | Refusal

type _Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Start(msgspec.Struct, frozen=True, tag="start"):
    version: int
    input_rate: int = 16000
    output_rate: int = 24000
    resume: bool = False


class _Resume(msgspec.Struct, frozen=True, tag="resume"):
    version: int
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    position: _Count = 0
    event: _Count = 0


class _Heard(msgspec.Struct, frozen=True, tag="heard"):
    position: _Count
    event: _Count = 0
    ago_ms: Annotated[float, msgspec.Meta(ge=-10_000, le=10_000)] = 0.0


class _Ping(msgspec.Struct, frozen=True, tag="ping"):
    pass


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


type _ClientMessage = (
    _Start | _Resume | _Heard | _Ping | _Text | _Interrupt | _Key | _TalkKey | _Stop
)

_TYPES = ("start", "resume", "heard", "ping", "text", "interrupt", "key", "talk_key", "stop")


class _AnyMessage(msgspec.Struct, frozen=True):
    type: str


_decoder: msgspec.json.Decoder[_ClientMessage] = msgspec.json.Decoder(
    _Start | _Resume | _Heard | _Ping | _Text | _Interrupt | _Key | _TalkKey | _Stop
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
        self._is_resuming = False
        self.can_resume = False
        """The caller asked to be let back in when the connection is lost."""
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

    def resumed(self, options: LineOptions) -> None:
        """The driver let the caller back into a call at these rates."""
        self._options = options
        self._is_resuming, self.can_resume = False, True

    def receive(self, message: WireMessage, *, now: float) -> Received:
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

    def _receive_first(self, message: _ClientMessage | Refusal) -> Received:
        match message:
            case Refusal():
                return Refusal(code=message.code, message=message.message, is_fatal=True)
            case _Start() if not self._is_resuming:
                return self._start(message)
            case _Resume() if not self._is_resuming:
                if refusal := _refused_version(message.version):
                    return refusal
                self._is_resuming = True
                return Resume(token=message.token, position=message.position, event=message.event)
            case _:
                return _not_started("a message")

    def _receive_text(self, text: str) -> Received:
        message = _parse(text)
        if self._options is None:
            return self._receive_first(message)
        match message:
            case Refusal():
                return message
            case _Heard():
                return Heard(position=message.position, event=message.event, ago_ms=message.ago_ms)
            case _Ping():
                return SignOfLife.ASKED
            case _Start() | _Resume():
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
        if refusal := _refused_version(start.version):
            return refusal
        for rate in (start.input_rate, start.output_rate):
            if rate not in RATES:
                return Refusal(
                    code=WireCode.UNSUPPORTED_RATE,
                    message=f"a rate of {rate} Hz is not carried; choose one of "
                    + ", ".join(map(str, RATES)),
                    is_fatal=True,
                )
        self.can_resume = start.resume and self._limits.resume_seconds > 0
        self._options = LineOptions(
            input_rate=start.input_rate,
            output_rate=start.output_rate,
            lead_ms=self._limits.lead_ms,
            reports_playback=self.can_resume,
            can_transfer=True,
        )
        return self._options


def _refused_version(version: int) -> Refusal | None:
    if version == VERSION:
        return None
    return Refusal(
        code=WireCode.UNSUPPORTED_VERSION,
        message=f"version {version} is not spoken here; ask for {VERSION}",
        is_fatal=True,
    )


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


class Ticket(msgspec.Struct, frozen=True):
    """Lets a caller back in, once, for so many seconds after the connection was lost."""

    token: str
    seconds: float


class _Started(msgspec.Struct, frozen=True, tag="started", omit_defaults=True):
    version: int
    session_id: str
    input_rate: int
    output_rate: int
    resume: Ticket | None = None


class _Resumed(msgspec.Struct, frozen=True, tag="resumed"):
    version: int
    session_id: str
    input_rate: int
    output_rate: int
    resume: Ticket
    position: int
    has_moved: bool


class _Error(msgspec.Struct, frozen=True, tag="error"):
    code: str
    message: str
    is_fatal: bool


class _Event(msgspec.Struct, frozen=True, tag="event"):
    event: msgspec.Raw


class _Clear(msgspec.Struct, frozen=True, tag="clear", omit_defaults=True):
    position: int | None = None


class _Transfer(msgspec.Struct, frozen=True, tag="transfer"):
    to: str
    reason: str


class _Pong(msgspec.Struct, frozen=True, tag="pong"):
    pass


def _encode(message: _Started | _Resumed | _Error | _Event | _Clear | _Transfer | _Pong) -> str:
    return msgspec.json.encode(message).decode()


CLEAR = _encode(_Clear())
"""Fall silent now, and drop whatever was sent and has not sounded."""

PONG = _encode(_Pong())
"""We are there."""


def clear_at(position: int) -> str:
    """Fall silent now; the next sample that comes is the one at that position."""
    return _encode(_Clear(position=position))


def started(session_id: SessionId, options: LineOptions, ticket: Ticket | None = None) -> str:
    """The answer to `start`: the session listens, and these are its rates."""
    return _encode(
        _Started(
            version=VERSION,
            session_id=session_id,
            input_rate=options.input_rate,
            output_rate=options.output_rate,
            resume=ticket,
        )
    )


def resumed(
    session_id: SessionId, options: LineOptions, ticket: Ticket, *, position: int, has_moved: bool
) -> str:
    """The answer to `resume`: the call goes on, with the sample at that position.

    `has_moved` if another process carries it now: what was being said is said in other sound.
    """
    return _encode(
        _Resumed(
            version=VERSION,
            session_id=session_id,
            input_rate=options.input_rate,
            output_rate=options.output_rate,
            resume=ticket,
            position=position,
            has_moved=has_moved,
        )
    )


def transfer(to: str, reason: str) -> str:
    """The call goes on with somebody else, at that address; this connection ends."""
    return _encode(_Transfer(to=to, reason=reason))


def event(encoded: str) -> str:
    """A session event, already in its JSON form, in an envelope."""
    return _encode(_Event(event=msgspec.Raw(encoded.encode())))


def error(refusal: Refusal) -> str:
    """A refusal, as the caller is told."""
    return _encode(_Error(code=refusal.code, message=refusal.message, is_fatal=refusal.is_fatal))
