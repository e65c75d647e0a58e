"""Speech into text by Whisper: a hundred languages, offline, well, as fast as the machine is.

It runs by faster-whisper (MIT) and CTranslate2 (MIT), on a processor or an NVIDIA card. The model
is a file that you fetch once; a call never fetches anything. One process has it in memory for all
links (see `shared_worker`).
"""

import contextlib
import os
import shlex
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Capabilities, SttOptions, TurnOwner
from beluga_voice.providers.phrases import PhraseLimits
from beluga_voice.providers.program import run_program
from beluga_voice.providers.stt.whisper import _wire as wire
from beluga_voice.providers.stt.whisper._languages import TAGS, code_of
from beluga_voice.providers.stt.whisper._link import WhisperLink
from beluga_voice.providers.stt.worker_link import FORMAT
from beluga_voice.providers.workers import keep_warm, require
from beluga_voice.support import refuse_unsupported_stt

_MODULE = "beluga_voice.providers.stt.whisper.worker"
_DOWNLOAD = "beluga_voice.providers.stt.whisper"
_MOST_THREADS = 4


class Whisper:
    """Speech into text, by a Whisper model on this machine.

    * `model`: a name ("tiny", "base", "small", "medium", "large-v3", "turbo", each but the last two
      also with ".en" for English alone; "distil-..."), an "owner/name" of the Hugging Face Hub, or
      a folder with a model for CTranslate2. Fetch it once: `download`.
    * `folder`: where models by name are kept, if not in the Hub's own cache.
    * `device`, `compute_type`: "cpu", "cuda" or "auto", and how numbers are kept there, as
      CTranslate2 names it; "auto" is the fastest, on a processor mostly "int8".
    * `threads`: processors that one computation uses; by default as many as there are, up to 4.
    * `parallel`: computations at once, over all links.
    * `beam_size`: readings that are followed for final words; 1 is fastest.
    * `hears_only_voice`: look for words only from the first voice to the last. Without that, the
      model makes up words in silence and noise.
    * `interim_milliseconds`: sound between two looks for interim words.
    * `interim_share`: how much of the time they may take; final words go before them.
    * `max_waiting_seconds`: sound that may wait for a slow model before the oldest is dropped.
    * `answer_seconds`: after which a process that owes an answer is given up.
    * `start_seconds`: how long loading may take.

    Phrases become a hint to the model, some 150 words of them. Word times are asked for with
    `wants_words`, and cost time. A language that is not given is found out, which takes as long
    again. Raises `ConfigurationError` for settings that make no sense; `connect` raises it for
    what is not there or does not fit, and `MissingExtra` without the extra `whisper`.
    """

    extra = "whisper"
    name = "whisper"
    capabilities = Capabilities(
        input_formats=(FORMAT,),
        turn_owners=(TurnOwner.FRAMEWORK,),
        is_local=True,
        has_interim_transcripts=True,
        has_word_times=True,
        languages=TAGS,
        settings=frozenset({"phrases", "wants_words"}),
    )
    phrase_limits = PhraseLimits()
    """Its model counts tokens: beyond some 150 words, the last phrases are left out, and told."""

    def __init__(
        self,
        *,
        model: str = "base",
        folder: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        compute_type: str = "auto",
        threads: int | None = None,
        parallel: int = 1,
        beam_size: int = 5,
        hears_only_voice: bool = True,
        interim_milliseconds: int = 500,
        interim_share: float = 0.5,
        max_waiting_seconds: float = 30.0,
        answer_seconds: float = 60.0,
        start_seconds: float = 120.0,
    ) -> None:
        threads = threads or min(os.cpu_count() or 1, _MOST_THREADS)
        for name, number in {
            "threads": threads,
            "parallel": parallel,
            "beam_size": beam_size,
        }.items():
            if number < 1:
                raise ConfigurationError(f"{name} {number} should be at least 1", op="stt")
        if not 0 < interim_share <= 1:
            message = f"interim_share {interim_share} should be above 0, and at most 1"
            raise ConfigurationError(message, op="stt")
        self._model = os.fspath(model)
        self._folder = None if folder is None else os.fspath(folder)
        self._settings = msgspec.json.encode(
            wire.Settings(
                model=self._model,
                folder=self._folder,
                device=device,
                compute_type=compute_type,
                threads=threads,
                parallel=parallel,
            )
        ).decode()
        kept = [] if self._folder is None else ["--folder", self._folder]
        self._fetch = ["-m", _DOWNLOAD, self._model, *kept]
        self._beam_size = beam_size
        self._hears_only_voice = hears_only_voice
        self._interim_samples = interim_milliseconds * FORMAT.rate // 1000
        self._interim_share = interim_share
        self._max_waiting_bytes = int(max_waiting_seconds * FORMAT.rate) * 2
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[WhisperLink]:
        """A link to the process with the model, which the first one starts.

        Raises `ConfigurationError`, with what to do, for a model that is not on this machine, is
        damaged, does not fit into memory or not on the device; `Unsupported` for a language that
        it does not know; `Unreachable` or `Silent` when no process came about.
        """
        refuse_unsupported_stt(options, self.capabilities, self.name)
        require("faster_whisper", "Whisper", extra="whisper")
        link = WhisperLink(
            model=self._model,
            fetch=shlex.join(["python", *self._fetch]),
            max_waiting_bytes=self._max_waiting_bytes,
            answer_seconds=self._answer_seconds,
        )
        async with link.running(
            _MODULE,
            self._settings,
            opening=self._request(options),
            within_seconds=self._start_seconds,
        ):
            yield link

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the model loaded between links, for as long as the context lasts."""
        require("faster_whisper", "Whisper", extra="whisper")
        return keep_warm(_MODULE, self._settings)

    async def download(self) -> None:
        """Fetch the model from the Hugging Face Hub, in a process of its own, if it is not here.

        Raises `Unreachable` if that fails, with the last line of why. Safe to cancel: what was
        fetched is kept, and the rest is fetched next time.
        """
        require("faster_whisper", "Whisper", extra="whisper")
        await run_program(
            *self._fetch, failing=f"the model {self._model!r} was not fetched", provider=self.name
        )

    def _request(self, options: SttOptions) -> wire.Open:
        return wire.Open(
            language=None if options.language is None else code_of(options.language),
            phrases=options.phrases,
            wants_words=options.wants_words,
            hears_only_voice=self._hears_only_voice,
            beam_size=self._beam_size,
            interim_samples=self._interim_samples if options.wants_interim else 0,
            interim_share=self._interim_share,
        )
