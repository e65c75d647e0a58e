"""A connection to an emulated Deepgram service: its settings, its outbox, and its faults."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16, to_milliseconds
from beluga_voice.testing.emulators.heard_words import HeardWords
from beluga_voice.testing.emulators.speech import Faults, Pace, transcript_of

ENCODINGS = {"linear16": Encoding.PCM16, "mulaw": Encoding.MULAW, "alaw": Encoding.ALAW}
_RATES = (8000, 48000)
READING_MODELS = ("nova", "nova-general", "enhanced", "enhanced-general", "base", "base-general")
"""The older models give other readings, if `alternatives` asks for them; later ones refuse that."""

type Event = dict[str, Any]


class Refused(Exception):
    """Settings that the service does not take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """What the services may do and need not."""

    idle_seconds: float = 10.0
    """Without sound or a message for so long, a connection that listens is closed."""
    answers_empty_finalize: bool = False
    """`Finalize` is answered even if there is nothing to settle."""
    settles_after_words: int | None = None
    """A window is final after so many words, though the person goes on."""
    repeats_finals: bool = False
    """What is final comes twice."""
    never_final: bool = False
    """Nothing ever is final."""
    silence_ms: int = 600
    """After so much silence, Flux is sure that a turn is over."""
    eager_silence_ms: int = 300
    """After so much, it is nearly sure."""
    has_flux_times: bool = True
    """Flux says when words sound."""
    max_flushes: int = 20
    """So many flushes are taken in a minute."""
    is_soundless: bool = False
    """Text is spoken without any sound."""
    has_header: bool = False
    """Sound begins with the header of a file."""
    is_silent: bool = False
    """Sound is as long as it should be, and there is nothing in it."""
    header_rate: int | None = None
    """The rate that a header states, where it is not the one that was asked for."""
    odd_end: bool = False
    """The sound of a flush ends inside a sample."""
    odd_bytes: bool = False
    """Messages with sound end inside samples."""


def readings_of(text: str, most: int) -> list[str]:
    """That text, and others that it might be taken for: each lacks one word, from the last on."""
    words = text.split()
    others = [" ".join(words[:at] + words[at + 1 :]) for at in range(len(words) - 1, -1, -1)]
    return [text, *(one for one in others if one)][:most]


def check_readings(asked: float | None, model: str) -> int:
    """How many readings are wanted; raises `Refused` where there is only one."""
    if asked is not None and model not in READING_MODELS:
        raise Refused(f"alternatives is not supported by {model}")
    return 1 if asked is None else int(asked)


@dataclass(frozen=True, slots=True)
class Query:
    """The settings in an address."""

    values: dict[str, list[str]]

    def one(self, name: str, default: str = "") -> str:
        """The only value of that name; raises `Refused` if there are several."""
        found = self.values.get(name, [default])
        if len(found) > 1:
            raise Refused(f"{name} is given more than once")
        return found[0]

    def is_on(self, name: str) -> bool:
        """A switch; raises `Refused` for what is none."""
        value = self.one(name, "false")
        if value not in ("true", "false"):
            raise Refused(f"{name} should be true or false")
        return value == "true"

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number within bounds, or nothing."""
        text = self.one(name)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError as error:
            raise Refused(f"{name} is no number") from error
        if not least <= value <= most:
            raise Refused(f"{name} should be from {least:g} to {most:g}")
        return value

    def only(self, known: Collection[str]) -> None:
        """Raise `Refused` for names that are not known."""
        for name in self.values:
            if name not in known:
                raise Refused(f"unknown parameter {name}")

    def format(self) -> AudioFormat:
        """The shape of the sound."""
        encoding = ENCODINGS.get(self.one("encoding", "linear16"))
        if encoding is None:
            raise Refused("unsupported encoding")
        rate = self.number("sample_rate", *_RATES)
        if rate is None:
            raise Refused("sample_rate is required for raw audio")
        return AudioFormat(encoding, int(rate), 1)


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The connection ends; without a code, it breaks."""

    code: int | None = None
    reason: str = ""


type Sent = str | bytes | Goodbye


class DeepgramSession(ABC):
    """One connection. What it sends, it sends in order, some of it late."""

    def __init__(
        self,
        query: Query,
        *,
        name: str,
        pace: Pace,
        word_ms: int,
        faults: Faults,
        quirks: Quirks,
    ) -> None:
        self.query = query
        self.name = name
        self.received: list[Event] = []
        """Messages of the client; of sound, how many bytes."""
        self.sent: list[Event] = []
        """Messages to the client, without sound."""
        self.errors: list[str] = []
        """What the client did wrong."""
        self._pace = pace
        self._word_ms = word_ms
        self._faults = faults
        self._quirks = quirks
        self._outbox: asyncio.Queue[tuple[float, Sent]] = asyncio.Queue()
        self._due = 0.0
        self._is_stalled = faults.is_mute
        self._is_over = False
        self._has_broken = False
        self._timers: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()

    @classmethod
    @abstractmethod
    def check(cls, query: Query) -> None:
        """Raise `Refused` for settings that are not taken."""

    def begin(self) -> None:
        """The connection is open."""
        if self._faults.expire_after_ms is not None:
            expired = Goodbye(1011, "NET-0000")
            self._later(self._faults.expire_after_ms / 1000, lambda: self._leave(expired))

    def end(self) -> None:
        """The connection is over."""
        self._is_over = True
        for timer in self._timers:
            timer.cancel()

    def take(self, message: str | bytes) -> None:
        """A message of the client."""
        if self._is_over:
            return
        if isinstance(message, bytes):
            self.received.append({"type": "audio", "bytes": len(message)})
            self.hear(message)
            return
        try:
            event = msgspec.json.decode(message, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            event = {}
        if not isinstance(event.get("type"), str):
            self.errors.append("what is no message")
            self.obey({"type": ""})
            return
        self.received.append(event)
        self.obey(event)

    @abstractmethod
    def hear(self, sound: bytes) -> None:
        """Sound of the client."""

    @abstractmethod
    def obey(self, event: Event) -> None:
        """An order of the client."""

    async def write(self, connection: ServerConnection) -> None:
        """Send what is to be sent, when it is due, until the connection ends."""
        with suppress(ConnectionClosed):
            while True:
                due, message = await self._outbox.get()
                if (wait := due - self._loop.time()) > 0:
                    await asyncio.sleep(wait)
                if not isinstance(message, Goodbye):
                    await connection.send(message)
                    continue
                if message.code is None:
                    connection.transport.abort()
                else:
                    await connection.close(message.code, message.reason)
                return

    def _say(self, event: Event, *, after_ms: float = 0) -> None:
        if not self._is_stalled and not self._is_over:
            self.sent.append(event)
            self._put(msgspec.json.encode(event).decode(), after_ms)

    def _put(self, message: Sent, after_ms: float = 0) -> None:
        if self._is_stalled and not isinstance(message, Goodbye):
            return
        self._due = max(self._due, self._loop.time() + after_ms / 1000)
        self._outbox.put_nowait((self._due, message))

    def _leave(self, goodbye: Goodbye) -> None:
        if not self._is_over:
            self._put(goodbye)
            self._is_over = True

    def _later(self, seconds: float, work: Callable[[], object]) -> asyncio.TimerHandle:
        timer = self._loop.call_later(seconds, work)
        self._timers.append(timer)
        return timer

    def _go_wrong(self, audio_ms: float) -> None:
        """What goes wrong once so much sound was heard, or spoken."""
        faults = self._faults
        broken_after = faults.malformed_after_audio_ms
        if broken_after is not None and audio_ms >= broken_after and not self._has_broken:
            self._has_broken = True
            self._put("{this is no message")
        if faults.stall_after_audio_ms is not None and audio_ms >= faults.stall_after_audio_ms:
            self._is_stalled = True
        if faults.drop_after_audio_ms is not None and audio_ms >= faults.drop_after_audio_ms:
            self._leave(Goodbye(faults.close_code, "NET-0000" if faults.close_code else ""))


class HearingSession(DeepgramSession):
    """A connection that listens: sound in 16-bit PCM, in steps, and patience with silence."""

    STEP_MS = 20

    def __init__(self, query: Query, **rest: Any) -> None:
        super().__init__(query, **rest)
        shape = query.format()
        self.rate = shape.rate
        self._shape = shape
        is_plain = shape == pcm16(shape.rate)
        self._converter = None if is_plain else Converter(shape, pcm16(shape.rate))
        self._step = self.rate * self.STEP_MS // 1000 * 2
        self._rest = b""
        self.heard = HeardWords()
        """The words since the last that are final."""
        self.position = 0
        """Samples heard so far."""
        self._idle: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The connection is open, and will not be for long if nothing comes."""
        super().begin()
        self._be_patient()

    def hear(self, sound: bytes) -> None:
        """Sound of the client; none at all ends the stream."""
        self._be_patient()
        if not sound:
            self.errors.append("a message without sound")
            self.close_stream()
            return
        pcm = sound if self._converter is None else self._converter.feed(sound)
        sound = self._rest + pcm
        whole = len(sound) - len(sound) % self._step
        self._rest = sound[whole:]
        for at in range(0, whole, self._step):
            self._take_step(sound[at : at + self._step])

    def _take_step(self, step: bytes) -> None:
        self.position += len(step) // 2
        self.heard.hear(step)
        self.hear_step(step)
        if not self._is_over:
            self._go_wrong(to_milliseconds(self.position, self.rate))

    def _flush(self) -> None:
        """Hear what is left of a step."""
        rest, self._rest = self._rest[: len(self._rest) & ~1], b""
        if rest:
            self._take_step(rest)

    @abstractmethod
    def hear_step(self, step: bytes) -> None:
        """The next bit of sound."""

    @abstractmethod
    def close_stream(self) -> None:
        """The client is done."""

    def _be_patient(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._timers.remove(self._idle)
        hung_up = Goodbye(1011, "NET-0001")
        self._idle = self._later(self._quirks.idle_seconds, lambda: self._leave(hung_up))

    def text_of(self, sound: bytearray, *, is_final: bool) -> str:
        """The words in that sound; before it is over, only those that cost nothing to tell."""
        return transcript_of(bytes(sound), self.rate) if is_final else self.heard.text

    def seconds(self, position: int) -> float:
        """A position in the sound, as the wire has it."""
        return round(position / self.rate, 3)

    def words_of(self, text: str, begin: int, end: int) -> list[tuple[str, float, float]]:
        """Words evenly spread over the sound that holds them."""
        words = text.split()
        each = (end - begin) / max(len(words), 1)
        return [
            (
                word,
                self.seconds(round(begin + at * each)),
                self.seconds(round(begin + (at + 1) * each)),
            )
            for at, word in enumerate(words)
        ]
