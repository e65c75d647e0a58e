"""Text into speech by Piper: a neural voice, in many languages, offline.

Piper is under GPL-3, so it is no part of this package: it comes with the extra `piper` and is used
only by a separate process, over a socket (see `shared_worker`). A voice is two files that you
fetch once; a call never fetches anything. Voices have licences of their own.
"""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, Faithfulness, TtsOptions, Voice, output_format_of
from beluga_voice.providers.program import run_program
from beluga_voice.providers.tts.piper import _voices
from beluga_voice.providers.tts.piper import _wire as wire
from beluga_voice.providers.tts.piper._link import PiperLink
from beluga_voice.providers.workers import keep_warm, require
from beluga_voice.support import refuse_unsupported_tts

_MODULE = "beluga_voice.providers.tts.piper.worker"
_MOST_THREADS = 4
_SLOWEST, _FASTEST = 0.25, 4.0


class Piper:
    """Speech from text, by a Piper voice on this machine.

    * `voice`: a name such as "en_US-lessac-medium", or the path of a voice's ".onnx"; a speaker of
      one that has several is added by name or number, as in "en_US-libritts-high#12". Fetch it
      once: `download`. If a language is asked for that it does not speak, a voice in the folder
      that does is taken.
    * `folder`: where voices are; by default `beluga-voice/piper` in the user's cache.
    * `pause_milliseconds`: silence between two sentences.
    * `threads`: processors that one computation uses; by default as many as there are, up to 4.
    * `parallel`: computations at once, over all links.
    * `max_waiting_characters`: text that may wait to be spoken.
    * `room_seconds`: sound that may wait to be read before speaking pauses.
    * `answer_seconds`: after which a process that owes sound is given up.
    * `start_seconds`: how long loading may take.

    It speaks whole sentences: text in pieces waits for the end of one, of the context, or for half
    a second. It does not say when words sound. Raises `ConfigurationError` for settings that make
    no sense; `connect` raises it for a voice that is not there, and `MissingExtra` without the
    extra `piper`.
    """

    extra = "piper"
    name = "piper"
    capabilities = Capabilities(
        input_formats=(),
        output_formats=(pcm16(24000), pcm16(22050), pcm16(16000), pcm16(8000)),
        is_local=True,
        can_cancel=True,
        say=Faithfulness.EXACT,
        settings=frozenset({"speed", "volume"}),
    )

    def __init__(
        self,
        *,
        voice: str = _voices.DEFAULT_VOICE,
        folder: str | os.PathLike[str] | None = None,
        pause_milliseconds: int = 200,
        threads: int | None = None,
        parallel: int = 1,
        max_waiting_characters: int = 1_000_000,
        room_seconds: float = 10.0,
        answer_seconds: float = 30.0,
        start_seconds: float = 60.0,
    ) -> None:
        threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        for name, number, least in (
            ("threads", threads, 1),
            ("parallel", parallel, 1),
            ("pause_milliseconds", pause_milliseconds, 0),
        ):
            if number < least:
                raise ConfigurationError(f"{name} {number} should be at least {least}", op="tts")
        self._voice = voice
        self._folder = _voices.default_folder() if folder is None else Path(folder).expanduser()
        self._pause_milliseconds = pause_milliseconds
        self._settings = msgspec.json.encode(
            wire.Settings(
                threads=threads,
                parallel=parallel,
                preload=os.fspath(_voices.path_of(voice.partition("#")[0], self._folder)),
            )
        ).decode()
        self._max_waiting_characters = max_waiting_characters
        self._room_seconds = room_seconds
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> AsyncGenerator[PiperLink]:
        """A link to the process with the voice, which the first one starts.

        Raises `ConfigurationError`, with what to do, for a voice that is not on this machine, is
        damaged or speaks another language; `Unreachable` or `Silent` when no process came about.
        """
        refuse_unsupported_tts(options, self.capabilities, self.name)
        if not _SLOWEST <= options.speed <= _FASTEST:
            message = f"a speed of {options.speed} is outside {_SLOWEST} to {_FASTEST}"
            raise ConfigurationError(message, op="tts.connect")
        require("piper", "Piper", extra="piper")
        request = self._request(options)
        link = PiperLink(
            room_bytes=int(self._room_seconds * request.rate) * 2,
            max_waiting_characters=self._max_waiting_characters,
            answer_seconds=self._answer_seconds,
        )
        async with link.running(
            _MODULE, self._settings, opening=request, within_seconds=self._start_seconds
        ):
            yield link

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the voice loaded between links, for as long as the context lasts."""
        require("piper", "Piper", extra="piper")
        return keep_warm(_MODULE, self._settings)

    async def voices(self) -> tuple[Voice, ...]:
        """The voices in the folder. `python -m piper.download_voices` lists those there are."""
        return await asyncio.to_thread(_voices.voices, self._folder)

    async def download(self) -> None:
        """Fetch the voice by Piper's own program, in a process of its own, if it is not here.

        Raises `Unreachable` if that fails, with the last line of why. Safe to cancel: a voice is
        here whole, or not at all.
        """
        require("piper", "Piper", extra="piper")
        name = self._voice.partition("#")[0]
        path = _voices.path_of(name, self._folder)
        if not await asyncio.to_thread(_voices.lacking, path):
            return
        if path.parent != self._folder:
            raise ConfigurationError(f"{name} is a path; give the name of a voice", op="download")
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder) as new:
            await run_program(
                *("-m", "piper.download_voices", name, "--download-dir", new),
                failing=f"the voice {name!r} was not fetched",
                provider=self.name,
            )
            for name in (f"{path.name}.json", path.name):
                os.replace(Path(new) / name, self._folder / name)

    def _request(self, options: TtsOptions) -> wire.Open:
        return wire.Open(
            voice=options.voice,
            language=options.language,
            default=self._voice,
            folder=os.fspath(self._folder),
            rate=output_format_of(self.capabilities, options.output_format).rate,
            speed=options.speed,
            volume=1.0 if options.volume is None else options.volume,
            pause_milliseconds=self._pause_milliseconds,
        )
