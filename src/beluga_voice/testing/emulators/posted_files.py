"""The server of emulated services that take recordings over HTTP: who is let in, and what fails."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from beluga_voice.audio.wav import Sound, read_wav
from beluga_voice.errors import WrongFormat
from beluga_voice.testing.emulators.speech import Faults, Pace, faults_of

MAX_BYTES = 200 * 1024 * 1024


class Refused(Exception):
    """The request is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True)
class Posted:
    """A recording that came, and what became of it."""

    settings: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    file: bytes = b""
    answer: dict[str, Any] = field(default_factory=dict[str, Any])


class FileServer(ABC):
    """A service on a port; `faults` are those of each request, in order.

    Of them it knows the refusals, `is_mute`, and `drop_after_audio_ms`, which counts what is in a
    recording. `answers` replaces the body of each answer.
    """

    path = ""

    def __init__(
        self,
        *,
        keys: Collection[str],
        models: Collection[str],
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        answers: bytes | None = None,
    ) -> None:
        self._keys = keys
        self._models = models
        self._pace = pace or Pace()
        self._faults = faults
        self._answers = answers
        self._opened = 0
        self.posted: list[Posted] = []
        """Every recording that was taken, in order."""
        self.host = ""
        self.port = 0

    @property
    def url(self) -> str:
        """What a provider takes as its `endpoint`."""
        return f"http://{self.host}:{self.port}"

    @asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncGenerator[Self]:
        """Take connections; port 0 is any that is free."""
        app = web.Application(client_max_size=MAX_BYTES)
        app.router.add_post(self.path, self._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        assert runner.server is not None
        server = await asyncio.get_running_loop().create_server(runner.server, host, port)
        try:
            address: Any = next(iter(server.sockets)).getsockname() if not port else (host, port)
            self.host, self.port = host, int(address[1])
            yield self
        finally:
            server.close()
            await runner.cleanup()
            await server.wait_closed()

    @abstractmethod
    def key_of(self, request: web.Request) -> str:
        """The key that a request gives."""

    @abstractmethod
    async def read(self, request: web.Request, posted: Posted) -> None:
        """Read settings and file; raises `Refused`."""

    @abstractmethod
    def answer(self, posted: Posted, sound: Sound) -> dict[str, Any]:
        """What is in the sound, which is mono 16-bit PCM."""

    @abstractmethod
    def refusal(self, refused: Refused) -> dict[str, Any]:
        """The body of an answer that says no."""

    async def _take(self, request: web.Request) -> web.StreamResponse:
        faults = faults_of(self._faults, self._opened)
        self._opened += 1
        try:
            if faults.refuse_status is not None:
                headers = {} if faults.retry_after is None else {"Retry-After": faults.retry_after}
                refused = Refused(faults.refuse_status, "REFUSED", faults.refuse_body)
                return self._refused(refused, headers)
            if (key := self.key_of(request)) not in self._keys:
                raise Refused(401, "INVALID_AUTH", f"Invalid credentials {key}.")
            posted = Posted()
            await self.read(request, posted)
            if faults.is_mute:
                await asyncio.Event().wait()
            try:
                sound = read_wav(posted.file)
            except WrongFormat:
                message = "failed to process audio: corrupt or unsupported data"
                raise Refused(400, "Bad Request", message) from None
            drop = faults.drop_after_audio_ms
            if drop is not None and sound.duration_ms > drop:
                assert request.transport is not None
                request.transport.abort()
                await asyncio.Event().wait()
            await asyncio.sleep(self._pace.transcript_ms / 1000)
            posted.answer = self.answer(posted, sound)
            self.posted.append(posted)
            if self._answers is not None:
                return web.Response(body=self._answers, content_type="application/json")
            return web.json_response(posted.answer)
        except Refused as refused:
            return self._refused(refused, {})

    def _refused(self, refused: Refused, headers: dict[str, str]) -> web.Response:
        return web.json_response(self.refusal(refused), status=refused.status, headers=headers)

    def check_model(self, model: str) -> None:
        """Raise `Refused` for one that is not offered."""
        if model not in self._models:
            raise Refused(400, "Bad Request", f"No such model: {model}")


def timed(text: str, seconds: float) -> list[tuple[str, float, float]]:
    """The words, evenly in the sound."""
    words = text.split()
    step = seconds / max(len(words), 1)
    return [(word, index * step, (index + 1) * step) for index, word in enumerate(words)]
