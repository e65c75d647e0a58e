"""The least server that holds the same websocket calls: what no framework could be faster than.

Bare asyncio protocols on uvloop: a frame is unmasked and shown to the same voice detector, 600 ms
without a voice begin an answer, and that goes out by a timer of each call's own, a message for each
`lead_ms`, or half of it. There is no session, no history, no interruption, no HTTP library, no
error, and no check of what comes. Run by `benchmarks.density --floor`.
"""

import asyncio
import base64
import hashlib
import json
from functools import partial
from typing import cast

from beluga_voice.audio.framing import Framer
from beluga_voice.backends.websocket.shortcut import SOUND, apply_mask, whole_frame
from beluga_voice.providers.vad.silero import BatchedSileroVad, SileroBatch
from benchmarks.fakes import FRAME, OUTPUT_RATE

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SILENT_FRAMES = 19
"""Of the detector's frames of 32 ms, in a row: 600 ms."""
_STARTED = json.dumps({"type": "started"}, separators=(",", ":")).encode()


class FloorCall(asyncio.Protocol):
    """One call."""

    def __init__(self, detector: BatchedSileroVad, *, answer_ms: int, lead_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._detector = detector
        self._framer = Framer(2 * detector.frame_samples)
        self._step = max(FRAME, lead_ms / 2000)
        self._message = whole_frame(bytes(round(self._step * OUTPUT_RATE) * 2))
        self._messages = round(answer_ms / 1000 / self._step)
        self._left = 0
        self._next = 0.0
        self._quiet = 0
        self._has_voice = False
        self._is_upgraded = False
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports only look like asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if not self._is_upgraded:
            self._upgrade(data)
            return
        at = 0
        while data[at : at + 2] == SOUND:
            first = at + 8
            at = first + int.from_bytes(data[at + 2 : at + 4])
            self._hear(apply_mask(data[first:at], data[first - 4 : first]))
        if at < len(data) and self._transport is not None:
            # What starts the call or ends it.
            text = apply_mask(data[at + 6 :], data[at + 2 : at + 6])
            if b'"stop"' in text:
                self._transport.close()
            else:
                self._transport.write(bytes((0x81, len(_STARTED))) + _STARTED)

    def _upgrade(self, data: bytes) -> None:
        assert self._transport is not None
        key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + _MAGIC).digest())
        self._is_upgraded = True
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def _hear(self, pcm: bytes) -> None:
        for frame in self._framer.feed(pcm):
            if self._detector.process(frame) >= 0.5:
                self._has_voice, self._quiet = True, 0
            elif self._has_voice:
                self._quiet += 1
                if self._quiet >= _SILENT_FRAMES:
                    self._has_voice = False
                    self._left, self._next = self._messages, self._loop.time()
                    self._speak()

    def _speak(self) -> None:
        if not self._left or self._transport is None:
            return
        self._transport.write(self._message)
        self._left -= 1
        self._next += self._step
        self._loop.call_at(self._next, self._speak)


async def listen(host: str, *, answer_ms: int, lead_ms: int) -> str:
    """Take calls for as long as the process lives; gives the address."""
    batch = SileroBatch()
    make = partial(_call, batch, answer_ms, lead_ms)
    server = await asyncio.get_running_loop().create_server(make, host, 0)
    return f"http://{host}:{server.sockets[0].getsockname()[1]}/"


def _call(batch: SileroBatch, answer_ms: int, lead_ms: int) -> FloorCall:
    return FloorCall(batch.detector(), answer_ms=answer_ms, lead_ms=lead_ms)
