"""Somebody who speaks test speech, in the time that speaking takes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import FRAME_MILLISECONDS, AudioFormat, pcm16, to_samples
from beluga_voice.events import SendAudio
from beluga_voice.testing.conformance.links import LinkRecord, end
from beluga_voice.testing.conformance.report import ConformanceFailure
from beluga_voice.testing.speech import pcm_of, silence, speech

NOTHING_SAID_MS = 400
"""How long somebody is heard who says nothing."""


class Microphone:
    """Gives a frame every 20 ms: of speech, or where a service needs it, of silence."""

    def __init__(self, source: AudioFormat, *, is_continuous: bool) -> None:
        self._source = source
        self._is_continuous = is_continuous
        self._to_say: deque[bytes] = deque()
        self._said = asyncio.Event()
        self._record: LinkRecord[Any] | None = None

    @asynccontextmanager
    async def on(
        self, send: Callable[[SendAudio], None], record: LinkRecord[Any]
    ) -> AsyncGenerator[None]:
        """Be open; what goes wrong in sending is a failure of the record's."""
        self._record = record
        running = asyncio.create_task(self._run(send, record), name="a person's microphone")
        try:
            yield
        finally:
            await end(running)

    async def _run(self, send: Callable[[SendAudio], None], record: LinkRecord[Any]) -> None:
        loop = asyncio.get_running_loop()
        quiet = self._in_format(silence(FRAME_MILLISECONDS, rate=self._source.rate))
        began, count = loop.time(), 0
        while record.failure is None:
            try:
                if self._to_say:
                    send(SendAudio(pcm=self._to_say.popleft()))
                elif self._is_continuous:
                    send(SendAudio(pcm=quiet))
            except ConformanceFailure as failure:
                record.failure = failure
            if not self._to_say:
                self._said.set()
            count += 1
            await asyncio.sleep(began + count * FRAME_MILLISECONDS / 1000 - loop.time())
        self._said.set()

    async def say(self, text: str) -> None:
        """Say something, or for no words, nothing for a while; until its last frame is sent."""
        rate = self._source.rate
        sound = self._in_format(
            pcm_of(speech(text, rate=rate)) or silence(NOTHING_SAID_MS, rate=rate)
        )
        frame = to_samples(FRAME_MILLISECONDS, rate) * self._source.block_bytes
        self._to_say.extend(sound[at : at + frame] for at in range(0, len(sound), frame))
        self._said.clear()
        await self._said.wait()
        if self._record is not None and self._record.failure is not None:
            raise self._record.failure

    def _in_format(self, pcm: bytes) -> bytes:
        return convert(pcm, pcm16(self._source.rate), self._source)
