"""Where Whisper is tried: a model made by hand, real processes, and time that nobody waits for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from beluga_voice.events import LinkReady, SendAudio, Transcript
from beluga_voice.providers.stt.whisper import Whisper
from beluga_voice.testing.speech import words_in
from providers.whisper.hand_built_whisper import tones_of
from providers.worker_stage import kill


def whisper(model, **settings) -> Whisper:
    """One that takes tones for a voice, and looks for interim words as often as it may."""
    settings = {"threads": 1, "interim_milliseconds": 200, "interim_share": 1.0} | settings
    return Whisper(model=str(model), **{"hears_only_voice": False} | settings)


async def until_final(events: AsyncIterator) -> list[Transcript]:
    """Transcripts up to and including the next final one."""
    heard = []
    async for event in events:
        if isinstance(event, Transcript):
            heard.append(event)
            if event.is_final:
                break
        else:
            assert isinstance(event, LinkReady), event
    return heard


async def say(link, text: str) -> None:
    """Speak tones in frames of 20 ms, in the time that takes."""
    pcm = tones_of(text)
    for at in range(0, len(pcm), 640):
        link.send(SendAudio(pcm=pcm[at : at + 640]))
        await asyncio.sleep(0.02)


class Interpreted:
    """A Whisper whose person speaks test speech: each word of it is played as its tone.

    After `drop_after_ms` of sound its process is killed.
    """

    def __init__(self, provider: Whisper, *, drop_after_ms: float | None) -> None:
        self._provider = provider
        self._drop_after_ms = drop_after_ms
        self.name = provider.name
        self.capabilities = provider.capabilities

    @asynccontextmanager
    async def connect(self, options):
        async with self._provider.connect(options) as link:
            yield _InterpretedLink(link, self._drop_after_ms)


class _InterpretedLink:
    def __init__(self, link, drop_after_ms: float | None) -> None:
        self._link = link
        self._left_ms = drop_after_ms
        self._begun = b""
        self._pid: int | None = None

    def send(self, command) -> None:
        if not isinstance(command, SendAudio) or not any(command.pcm):
            self._begun = b""
            self._link.send(command)
            return
        self._begun += command.pcm
        if words := words_in(self._begun):
            self._begun = b""
            self._link.send(SendAudio(pcm=tones_of(" ".join(words))))
            self._wear(200 * len(words))

    def attach(self, deliver) -> None:
        def note(event) -> None:
            self._note(event)
            deliver(event)

        self._link.attach(note)

    async def __aiter__(self):
        async for event in self._link:
            self._note(event)
            yield event

    def _note(self, event) -> None:
        if isinstance(event, LinkReady):
            self._pid = int(event.remote_id)

    def _wear(self, milliseconds: float) -> None:
        if self._left_ms is not None:
            self._left_ms -= milliseconds
            if self._left_ms <= 0:
                self._left_ms = None
                kill(self._pid)
