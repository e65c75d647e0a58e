"""The callers: many websockets in one process, which speak and note when sound comes back.

Run by `benchmarks.density`. Obeys lines: `call N` makes it N calls in all, `begin` starts a stretch
of measuring, `end` prints what was measured in it as JSON.

It has its own websocket, of which it needs little, so that one core of it can load one core of the
server: frames are masked beforehand, and all calls share one clock with a tick every two
milliseconds.
"""

import argparse
import asyncio
import base64
import json
import os
import struct
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import numpy as np

from beluga_voice.server.app import run, tune_garbage_collector
from benchmarks.density_server import claim_core, obey
from benchmarks.fakes import FRAME, INPUT_RATE, OUTPUT_RATE
from benchmarks.results import percentile, rounded
from benchmarks.speech import LISTEN_SECONDS, SPEAK_SECONDS

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
SHARES = 10
"""Parts of the calls, which speak one after the other within a frame's time."""
FRAME_BYTES = round(INPUT_RATE * FRAME) * 2
BYTES_PER_SECOND = OUTPUT_RATE * 2
SPEAK_FRAMES = round(SPEAK_SECONDS / FRAME)
CYCLE_FRAMES = round((SPEAK_SECONDS + LISTEN_SECONDS) / FRAME)
GAP_SECONDS = 0.5
"""Sound after so long without any is another answer."""
GOLDEN = 0.618034
CALLS_PER_SECOND = 120
_START = json.dumps(
    {"type": "start", "version": 1, "input_rate": INPUT_RATE, "output_rate": OUTPUT_RATE}
).encode()


def masked(opcode: int, payload: bytes) -> bytes:
    """A whole frame from a client."""
    mask = os.urandom(4)
    size = len(payload)
    head = bytes((0x80 | opcode, 0x80 | (size if size < 126 else 126)))
    if size >= 126:
        head += struct.pack(">H", size)
    key = np.frombuffer((mask * (size // 4 + 1))[:size], np.uint8)
    return head + mask + (np.frombuffer(payload, np.uint8) ^ key).tobytes()


class Tally:
    """What all calls counted in this stretch."""

    def __init__(self, lead_seconds: float) -> None:
        self.lead = lead_seconds
        self.step = max(FRAME, lead_seconds / 2)
        self.since = 0.0
        self.clear(0.0)

    def clear(self, now: float) -> None:
        """Begin anew."""
        self.since = now
        self.late: list[float] = []
        self.waits: list[float] = []
        self.ticks: list[float] = []
        self.sent = 0
        self.received_seconds = 0.0
        self.clears = 0
        self.lost = 0

    def hear(self, answer: list[tuple[float, float]]) -> None:
        """An answer's messages: when each came, and at which second of the answer it begins.

        Nothing is early: the message that came best shows when the answer's clock began.
        """
        if answer[0][0] < self.since:
            return  # what delayed it may have been before this stretch
        slack = self.lead - self.step
        delays = [at - max(0.0, position - slack) for at, position in answer]
        began = min(delays)
        self.late += [(delay - began) * 1000 for delay in delays]


class Caller(asyncio.Protocol):
    """One call."""

    def __init__(self, host: str, number: int, sound: list[bytes], tally: Tally) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host
        self._sound = sound
        self._tally = tally
        self._held = b""
        self._is_upgraded = False
        self._is_leaving = False
        self._transport: asyncio.WriteTransport | None = None
        self._answer: list[tuple[float, float]] = []
        self._position = 0.0
        self._fell_silent: float | None = None
        self.share = number % SHARES
        self.phase = int(number * GOLDEN % 1 * CYCLE_FRAMES)
        self.started: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because uvloop's transports only look like asyncio's.
        self._transport = transport = cast(asyncio.WriteTransport, transport)
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /ws HTTP/1.1\r\nHost: {self._host}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._is_leaving:
            self._tally.lost += 1
        if not self.started.done():
            self.started.set_exception(ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        if self._held:
            data = self._held + data
        at = 0
        if not self._is_upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._held = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(data[:200].decode(errors="replace"))
            self._is_upgraded = True
            self._write(masked(TEXT, _START))
            at = end + 4
        size = len(data)
        while size - at >= 2:
            length, body = data[at + 1], at + 2
            if length == 126:
                if size - at < 4:
                    break
                length, body = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif length == 127:
                if size - at < 10:
                    break
                length, body = int.from_bytes(data[at + 2 : at + 10]), at + 10
            if size < body + length:
                break
            opcode = data[at] & 15
            if opcode == BINARY:
                self._hear(length)
            else:
                self._take(opcode, data[body : body + length])
            at = body + length
        self._held = data[at:]

    def speak(self, at: int, now: float) -> None:
        """Send the frame of this tick."""
        if self._transport is None or not self.started.done():
            return
        position = (at + self.phase) % CYCLE_FRAMES
        if position == SPEAK_FRAMES:
            self._fell_silent = now
        self._transport.write(self._sound[position])
        self._tally.sent += 1

    def finish(self) -> None:
        """Count the answer that was heard last."""
        if self._answer:
            self._tally.hear(self._answer)
        self._answer = []
        self._position = 0.0

    def leave(self) -> None:
        """Hang up."""
        self._is_leaving = True
        self._write(masked(TEXT, b'{"type": "stop"}'))

    def _hear(self, length: int) -> None:
        now = self._loop.time()
        if self._answer and now - self._answer[-1][0] > GAP_SECONDS:
            self.finish()
        if not self._answer and self._fell_silent is not None:
            self._tally.waits.append((now - self._fell_silent) * 1000)
            self._fell_silent = None
        self._answer.append((now, self._position))
        seconds = length / BYTES_PER_SECOND
        self._position += seconds
        self._tally.received_seconds += seconds

    def _take(self, opcode: int, payload: bytes) -> None:
        match opcode:
            case 1 if payload.startswith(b'{"type":"started"'):
                if not self.started.done():
                    self.started.set_result(None)
            case 1 if payload.startswith(b'{"type":"clear"'):
                self._tally.clears += 1
            case 1 if payload.startswith(b'{"type":"error"'):
                self._tally.lost += 1
            case 8 if self._transport is not None:
                self._transport.close()
            case 9:
                self._write(masked(PONG, payload))
            case _:
                pass

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)


def _same(caller: Caller) -> Caller:
    return caller


class Crowd:
    """All callers, and the clock they speak by."""

    def __init__(self, url: str, sounds: list[list[bytes]], lead_seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = urlsplit(url)
        self._sounds = sounds
        self._shares: list[list[Caller]] = [[] for _ in range(SHARES)]
        self._callers: list[Caller] = []
        self._tick = 0
        self._began = self._loop.time()
        self.tally = Tally(lead_seconds)
        self._next()

    async def resize(self, count: int) -> int:
        """Call or hang up until there are so many calls."""
        host, port = self._place.hostname or "", self._place.port or 80
        while len(self._callers) > count:
            caller = self._callers.pop()
            self._shares[caller.share].remove(caller)
            caller.leave()
            await asyncio.sleep(1 / (2 * CALLS_PER_SECOND))
        while (number := len(self._callers)) < count:
            caller = Caller(
                self._place.netloc, number, self._sounds[number % len(self._sounds)], self.tally
            )
            await self._loop.create_connection(partial(_same, caller), host, port)
            async with asyncio.timeout(10):
                await caller.started
            self._callers.append(caller)
            self._shares[caller.share].append(caller)
            await asyncio.sleep(1 / CALLS_PER_SECOND)
        return len(self._callers)

    def begin(self) -> None:
        """Measure from now on."""
        self.tally.clear(self._loop.time())

    def end(self) -> dict[str, Any]:
        """What was measured since."""
        for caller in self._callers:
            caller.finish()
        tally = self.tally
        wall = self._loop.time() - tally.since
        count = max(1, len(self._callers))
        return {
            "late_p50_ms": rounded(percentile(tally.late, 50), 2),
            "late_p99_ms": rounded(percentile(tally.late, 99), 2),
            "late_max_ms": rounded(max(tally.late, default=None), 1),
            "wait_p50_ms": rounded(percentile(tally.waits, 50), 1),
            "wait_p99_ms": rounded(percentile(tally.waits, 99), 1),
            "answers": len(tally.waits),
            "messages": len(tally.late),
            "own_lag_p99_ms": rounded(percentile(tally.ticks, 99), 2),
            "frames_sent_per_second": round(tally.sent / wall / count, 2),
            "speaking_share": round(tally.received_seconds / wall / count, 3),
            "clears": tally.clears,
            "lost": tally.lost,
        }

    def _next(self) -> None:
        """Let one share of the callers speak."""
        now = self._loop.time()
        due = self._began + self._tick * FRAME / SHARES
        self.tally.ticks.append((now - due) * 1000)
        at, share = divmod(self._tick, SHARES)
        for caller in self._shares[share]:
            caller.speak(at, now)
        self._tick += 1
        self._loop.call_at(self._began + self._tick * FRAME / SHARES, self._next)


def frames_of(cycle: bytes) -> list[bytes]:
    """A person's side as frames that can be sent as they are."""
    return [
        masked(BINARY, cycle[at : at + FRAME_BYTES]) for at in range(0, len(cycle), FRAME_BYTES)
    ]


async def call(url: str, sounds: list[list[bytes]], lead_seconds: float) -> None:
    """Obey until standard input ends."""
    crowd = Crowd(url, sounds, lead_seconds)
    tune_garbage_collector()
    print(json.dumps({"voices": len(sounds)}), flush=True)
    resizing: set[asyncio.Task[None]] = set()

    async def resize(count: int) -> None:
        print(json.dumps({"calls": await crowd.resize(count)}), flush=True)

    def order(line: str) -> object:
        name, _, count = line.partition(" ")
        match name:
            case "call":
                task = asyncio.create_task(resize(int(count)), name="resize")
                resizing.add(task)
                task.add_done_callback(resizing.discard)
                return None
            case "begin":
                crowd.begin()
                return None
            case _:
                return crowd.end()

    await obey(order)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--sound", type=Path, required=True)
    parser.add_argument("--core", type=int, required=True)
    parser.add_argument("--lead-ms", type=int, required=True)
    parser.add_argument("--realtime", action="store_true")
    options = parser.parse_args()
    claim_core(options.core, realtime=options.realtime)
    voices = [frames_of(path.read_bytes()) for path in sorted(options.sound.glob("*.pcm"))]
    run(call(options.url, voices, options.lead_ms / 1000))
