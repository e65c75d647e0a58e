"""The body of an answer as sound: raw, or in server-sent events. Pure.

Raw sound is PCM, and should be nothing else. A WAV file instead is common with servers of others:
its header would be a click, and is left out if the sound in it is the one that was asked for.
"""

import struct
from typing import Literal

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers.openai.account import NAME, ErrorObject, category_of, message_of

MAX_HEADER_BYTES = 4096
MAX_EVENT_BYTES = 4 * 1024 * 1024
_CHUNK = struct.Struct("<4sI")


class SpeechUsage(msgspec.Struct):
    """What an answer was charged."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class _Event(msgspec.Struct):
    type: str = ""
    audio: bytes = b""
    usage: SpeechUsage | None = None
    error: ErrorObject | str | None = None


_events = msgspec.json.Decoder(_Event)


class Body:
    """Pieces of an answer in, whole samples out.

    `problems` holds what was found to be wrong; a fatal one means that nothing follows.
    """

    def __init__(self, kind: Literal["raw", "events"], rate: int) -> None:
        self._is_raw = kind == "raw"
        self._rate = rate
        self._lines = b""
        self._head: bytes | None = b""
        """The beginning, until it is known whether it is a file."""
        self._half = b""
        self.samples = 0
        self.usage = SpeechUsage()
        self.is_over = False
        """Whether the service said that this was all; raw sound has no such word."""
        self.problems: list[ServiceFailed] = []

    def feed(self, data: bytes) -> bytes:
        """More of the answer; raises `BrokenProtocol` for events that cannot be read."""
        return self._sound(data if self._is_raw else self._from_events(data))

    def end(self) -> bytes:
        """What was held back; then the answer is whole."""
        left = b""
        if self._head is not None:
            left, self._head = self._whole(self._head), None
        if self._half:
            self._problem("the sound ended inside a sample; the rest of it is lost")
            self._half = b""
        if not self._is_raw and not self.is_over and not self.problems:
            self._problem("the answer broke off", is_fatal=True)
        return left

    # ── server-sent events ──────────────────────────────────────────────────────────────────

    def _from_events(self, data: bytes) -> bytes:
        *whole, self._lines = (self._lines + data).split(b"\n")
        if len(self._lines) > MAX_EVENT_BYTES:
            raise BrokenProtocol("an event that does not end", op="tts", provider=NAME)
        return b"".join(self._from_line(line.strip()) for line in whole)

    def _from_line(self, line: bytes) -> bytes:
        name, _, said = line.partition(b":")
        said = said.strip()
        if name != b"data" or not said or said == b"[DONE]":
            return b""
        try:
            event = _events.decode(said)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            seen = type(error).__name__
            message = f"an event that cannot be read ({seen})"
            raise BrokenProtocol(message, op="tts", provider=NAME) from None
        if event.error is not None:
            self._refused(event.error)
        if event.type == "speech.audio.done":
            self.is_over = True
            self.usage = event.usage or self.usage
        return event.audio

    def _refused(self, error: ErrorObject | str) -> None:
        said = ErrorObject(message=error) if isinstance(error, str) else error
        category = category_of(said)
        failed = ServiceFailed(
            category=category,
            message=message_of(said, category) or "the service failed",
            is_fatal=True,
            provider_code=said.code or said.type,
        )
        self.problems.append(failed)

    # ── sound ───────────────────────────────────────────────────────────────────────────────

    def _sound(self, data: bytes) -> bytes:
        if self._head is not None:
            self._head += data
            if not self._is_known(self._head):
                return b""
            data, self._head = self._without_header(self._head), None
        return self._whole(data)

    def _whole(self, data: bytes) -> bytes:
        data = self._half + data
        size = len(data) & ~1
        self._half = data[size:]
        self.samples += size // 2
        return data[:size]

    def _is_known(self, head: bytes) -> bool:
        """Whether it is no file, or a file whose sound has begun."""
        if not head.startswith(b"RIFF"[: len(head)]) or len(head) > MAX_HEADER_BYTES:
            return bool(head)
        return len(head) >= 12 and (head[8:12] != b"WAVE" or _data_of(head) is not None)

    def _without_header(self, head: bytes) -> bytes:
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return head
        begin = _data_of(head)
        shape = _shape_of(head)
        if begin is None or shape != (1, self._rate, 16):
            seen = "that cannot be read" if shape is None else f"of {shape[1]} Hz"
            self._problem(
                f"the service sends a WAV file {seen} instead of PCM at {self._rate} Hz; "
                "check the endpoint",
                is_fatal=True,
            )
            return b""
        self._problem("the service sends a WAV file instead of PCM; its header was left out")
        return head[begin:]

    def _problem(self, message: str, *, is_fatal: bool = False) -> None:
        category = ErrorCategory.INVALID_REQUEST if is_fatal else ErrorCategory.RETRYABLE
        failed = ServiceFailed(category=category, message=message, is_fatal=is_fatal)
        self.problems.append(failed)


def _chunk(head: bytes, wanted: bytes) -> int | None:
    """Where the body of that chunk begins; `None` if it has not come yet."""
    at = 12
    while at + _CHUNK.size <= len(head):
        name, size = _CHUNK.unpack_from(head, at)
        if name == wanted:
            return at + _CHUNK.size
        at += _CHUNK.size + size + size % 2
    return None


def _data_of(head: bytes) -> int | None:
    return _chunk(head, b"data")


def _shape_of(head: bytes) -> tuple[int, int, int] | None:
    """Channels, rate and bits of a sample."""
    at = _chunk(head, b"fmt ")
    if at is None or at + 16 > len(head):
        return None
    _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", head, at)
    return channels, rate, bits


def kind_of(content_type: str) -> Literal["raw", "events"] | None:
    """What an answer of that type holds; `None` if no sound we can read.

    A server that knows no `stream_format` answers raw sound, and servers differ in how they call
    that.
    """
    name = content_type.partition(";")[0].strip().lower()
    if name == "text/event-stream":
        return "events"
    raw = ("", "audio/pcm", "audio/l16", "audio/x-pcm", "audio/raw", "audio/wav", "audio/x-wav")
    if name in (*raw, "audio/wave", "application/octet-stream", "binary/octet-stream"):
        return "raw"
    return None
