"""The model itself, by faster-whisper, in a process that all links share.

Nothing here fetches anything: a model is on this machine, whole, or it is refused.
"""

import math
import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from beluga_voice.providers.stt.whisper._wire import Reason, Settings

RATE = 16000
_NEEDED = ("model.bin", "config.json", "tokenizer.json")
_PROMPT_TOKENS = 220
"""What the model can be told beforehand: under half of its 448 positions, less its own marks."""
_TOKENS_PER_SECOND = 25
_MOST_TOKENS = 200
_WITHOUT_DOUBT = (0.0,)
_IN_DOUBT = (0.0, 0.4, 0.8)
"""Temperatures that are tried one after the other while the words are unlikely."""


class Broken(Exception):
    """There is no working model; `detail` is for people, and holds nobody's words."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class _Word(Protocol):
    word: str
    start: float
    end: float
    probability: float


class _Segment(Protocol):
    text: str
    avg_logprob: float
    words: Sequence[_Word] | None


class _Info(Protocol):
    language: str


class _Encoding(Protocol):
    ids: list[int]


class _Tokenizer(Protocol):
    def encode(self, text: str, /, *, add_special_tokens: bool) -> _Encoding: ...
    def token_to_id(self, token: str, /) -> int | None: ...


class _Whisper(Protocol):
    """The part of `faster_whisper.WhisperModel` used here; the package ships no types."""

    hf_tokenizer: _Tokenizer

    @property
    def supported_languages(self) -> list[str]: ...

    def transcribe(
        self, audio: NDArray[np.float32], **settings: object
    ) -> tuple[Iterable[_Segment], _Info]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of a transcription."""

    language: str | None
    hint: str | None
    """Words that are likely."""
    wants_words: bool
    beam_size: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class FoundWord:
    """A word; `start` and `end` in samples of the sound."""

    text: str
    start: int
    end: int
    confidence: float


@dataclass(frozen=True, slots=True)
class Found:
    """The words in some sound."""

    text: str
    words: tuple[FoundWord, ...]
    confidence: float
    language: str


class Model:
    """A loaded model. Several threads may use it at once."""

    def __init__(self, whisper: _Whisper) -> None:
        self._whisper = whisper

    def expect(self, language: str | None) -> None:
        """Raise `Broken` for a language, by Whisper's own code, that it does not know."""
        if language is None:
            return
        known = self._whisper.supported_languages
        if language not in known:
            raise Broken(Reason.LANGUAGE, "the model knows English only")
        # All models say to know all; the older ones lack the newer languages.
        if len(known) > 1 and self._whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is None:
            raise Broken(Reason.LANGUAGE, f"the model does not know {language!r}")

    def hint_of(self, phrases: Sequence[str]) -> tuple[str | None, int]:
        """As many of the phrases, from the first, as the model can be told; how many are left."""
        said: list[str] = []
        for phrase in phrases:
            longer = ", ".join([*said, phrase.strip()])
            tokens = self._whisper.hf_tokenizer.encode(" " + longer, add_special_tokens=False)
            if len(tokens.ids) > _PROMPT_TOKENS:
                break
            said.append(phrase.strip())
        return ", ".join(said) or None, len(phrases) - len(said)

    def transcribe(self, sound: NDArray[np.float32], asked: Asked) -> Found | None:
        """The words in at most 30 s of sound, `None` if there are none. Raises `Broken`."""
        try:
            return self._transcribe(sound, asked)
        except Exception as error:
            # Two libraries, and no kind of error that is theirs.
            raise Broken(_reason_of(error)) from error

    def _transcribe(self, sound: NDArray[np.float32], asked: Asked) -> Found | None:
        seconds = len(sound) / RATE
        segments, info = self._whisper.transcribe(
            sound,
            language=asked.language,
            beam_size=asked.beam_size if asked.is_final else 1,
            temperature=_IN_DOUBT if asked.is_final else _WITHOUT_DOUBT,
            hotwords=asked.hint,
            word_timestamps=asked.wants_words and asked.is_final,
            # What it said before makes it repeat itself.
            condition_on_previous_text=False,
            # One window of 30 s, one segment: its inner times are not needed.
            without_timestamps=True,
            max_new_tokens=min(16 + math.ceil(_TOKENS_PER_SECOND * seconds), _MOST_TOKENS),
        )
        # Asked for another one, it would look for words after the last word.
        segment = next(iter(segments), None)
        if segment is None or not segment.text.strip():
            return None
        return Found(
            text=segment.text.strip(),
            words=_words_of(segment, len(sound)),
            confidence=min(math.exp(segment.avg_logprob), 1.0),
            language=info.language,
        )


def _words_of(segment: _Segment, samples: int) -> tuple[FoundWord, ...]:
    words: list[FoundWord] = []
    at = 0
    for word in segment.words or ():
        start = min(max(round(word.start * RATE), at), samples)
        at = min(max(round(word.end * RATE), start), samples)
        if text := word.word.strip():
            words.append(FoundWord(text, start, at, min(float(word.probability), 1.0)))
    return tuple(words)


def voice_in(sound: NDArray[np.float32]) -> tuple[int, int] | None:
    """From where to where there is a voice, in samples, by the detector in faster-whisper."""
    if not len(sound):
        return None
    # The package is untyped.
    vad = import_module("faster_whisper.vad")
    options = vad.VadOptions(
        min_speech_duration_ms=64, min_silence_duration_ms=300, speech_pad_ms=200
    )
    voiced = cast("list[dict[str, int]]", vad.get_speech_timestamps(sound, options))
    return (voiced[0]["start"], voiced[-1]["end"]) if voiced else None


class Shelf:
    """Where the model of this process is loaded, by whoever asks for it first."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._model: Model | None = None

    def model(self) -> Model:
        """The model. Raises `Broken`; then the next to ask tries anew."""
        with self._lock:
            if self._model is None:
                self._model = Model(_load(self._settings))
            return self._model

    def preload(self) -> None:
        """Load it before anybody asks; if that fails, who asks is told."""
        try:
            self.model()
        except Broken:
            return


def folder_of(model: str, cache: str | None) -> Path:
    """Where the files of a model are on this machine. Raises `Broken`."""
    path = Path(model).expanduser()
    if not path.is_dir():
        if path.is_absolute() or model.startswith(("./", "../", "~")):
            raise Broken(Reason.UNKNOWN, f"there is no folder {model}")
        path = _cached(model, cache)
    lacking = [name for name in _NEEDED if not (path / name).is_file()]
    if lacking:
        raise Broken(Reason.DAMAGED, f"{path} has no {', '.join(lacking)}")
    return path


def _cached(model: str, cache: str | None) -> Path:
    library = import_module("faster_whisper")
    try:
        return Path(library.download_model(model, local_files_only=True, cache_dir=cache))
    except FileNotFoundError as error:
        raise Broken(Reason.MISSING, f"the model {model!r} is not on this machine") from error
    except ValueError as error:
        known = ", ".join(library.available_models())
        detail = f"no model is named {model!r}; there are {known}, those of the Hugging Face Hub"
        raise Broken(Reason.UNKNOWN, f"{detail} as owner/name, and folders") from error


def _load(settings: Settings) -> _Whisper:
    path = folder_of(settings.model, settings.folder)
    library = import_module("faster_whisper")
    try:
        # A cast, because the package is untyped.
        return cast(
            _Whisper,
            library.WhisperModel(
                os.fspath(path),
                device=settings.device,
                compute_type=settings.compute_type,
                cpu_threads=settings.threads,
                num_workers=settings.parallel,
                local_files_only=True,
            ),
        )
    except MemoryError as error:
        raise Broken(Reason.MEMORY) from error
    except Exception as error:
        # The tokenizer's own error is a plain Exception.
        raise Broken(_reason_of(error), f"{path}: {error}") from error


def _reason_of(error: Exception) -> Reason:
    """What is behind an error of a library that has one kind for all."""
    said = str(error).lower()
    if isinstance(error, MemoryError) or "memory" in said or "bad_alloc" in said:
        return Reason.MEMORY
    if any(word in said for word in ("cuda", "cudnn", "cublas", "device", "compute type")):
        return Reason.DEVICE
    return Reason.DAMAGED
