"""A recording's file: lines of JSON, written beside the event loop, up to a bound.

Lines wait in memory while the disk is slow, up to `max_waiting_bytes`; beyond, they are dropped and
their number is told in the file. Each batch is appended and the file closed again, so that whatever
ends the process, all lines but perhaps the last are whole. A disk that fails ends the recording and
not the call.
"""

import asyncio
import logging
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from beluga_voice.errors import ConfigurationError

log = logging.getLogger(__name__)

MAX_BYTES = 64 * 1024 * 1024
"""A call of an hour takes about 20 MB without its sound."""
MAX_WAITING_BYTES = 4 * 1024 * 1024
DRAIN_SECONDS = 1.0


class Recorder:
    """Appends to one new file. For one event loop."""

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._bytes = 0
        self._dropped = 0
        self._is_writing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._beginning = asyncio.Lock()
        self._is_begun = False
        self._began = 0.0
        self.is_over = False
        """The file is full, or the disk failed: nothing is recorded any more."""

    async def begin(self, header: dict[str, object]) -> None:
        """Make the file, once, readable by this user only.

        Raises `ConfigurationError` if it is there already, or cannot be made.
        """
        async with self._beginning:
            if self._is_begun:
                return
            loop = asyncio.get_running_loop()
            try:
                await loop.run_in_executor(None, self._create)
            except OSError as error:
                message = f"cannot record to {str(self._path)!r}: {error.strerror}"
                if isinstance(error, FileExistsError):
                    message = f"{str(self._path)!r} is there already: record to another file"
                raise ConfigurationError(message, op="record") from error
            self._is_begun = True
            self._began = loop.time()
            self._put(header)

    def write(self, entry: dict[str, object]) -> None:
        """Record what happens now, with the time in milliseconds since the recording began."""
        if not self._is_begun or self.is_over:
            return
        passed = asyncio.get_running_loop().time() - self._began
        self._put({"t": round(passed * 1000, 3), **entry})

    async def drain(self) -> None:
        """Wait until all is in the file, but not for a disk that takes longer than a second."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()

    def _create(self) -> None:
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def _put(self, entry: dict[str, object]) -> None:
        line = msgspec.json.encode(entry) + b"\n"
        if self._waiting_bytes + len(line) > self._max_waiting_bytes:
            self._dropped += 1
            return
        if self._dropped:
            line = msgspec.json.encode({"is": "dropped", "lines": self._dropped}) + b"\n" + line
            self._dropped = 0
        if self._bytes + len(line) > self._max_bytes:
            line = msgspec.json.encode({"is": "full"}) + b"\n"
            self.is_over = True
            log.warning("a recording is full, and ends")
        self._bytes += len(line)
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._go_on()

    def _go_on(self) -> None:
        """Write what waits, unless that is being done."""
        if self._is_writing:
            return
        if not self._waiting:
            self._idle.set()
            return
        self._is_writing = True
        self._idle.clear()
        batch, self._waiting = b"".join(self._waiting), []
        job = asyncio.get_running_loop().run_in_executor(None, self._append, batch)
        job.add_done_callback(lambda done: self._written(done, len(batch)))

    def _written(self, job: asyncio.Future[None], size: int) -> None:
        self._is_writing = False
        self._waiting_bytes -= size
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is not None:
            log.error("a recording ends: %s", type(error).__name__)
            self.is_over = True
            self._waiting.clear()
        self._go_on()

    def _append(self, batch: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            rest = memoryview(batch)
            while rest:
                rest = rest[file.write(rest) :]
