"""A voice itself, by Piper, in a process that all links share.

Piper is under GPL-3: this module and the worker are the only ones that use it, in a process of
their own. Nothing here fetches anything.
"""

import logging
import threading
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from beluga_voice.providers.tts.piper._wire import Reason


class Broken(Exception):
    """There is no working voice; `detail` is for people, and holds nobody's words."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class _Config(Protocol):
    num_speakers: int
    sample_rate: int
    length_scale: float
    speaker_id_map: Mapping[str, int]


class _Chunk(Protocol):
    @property
    def audio_int16_array(self) -> NDArray[np.int16]: ...


class _Piper(Protocol):
    """The part of `piper.PiperVoice` used here: its types are under GPL-3 as well."""

    config: _Config

    def synthesize(self, text: str, syn_config: object = None) -> Iterable[_Chunk]: ...


class PiperVoice:
    """A loaded voice. Several threads may use it at once. `rate` is that of its sound."""

    def __init__(self, piper: _Piper) -> None:
        self._piper = piper
        self.rate = piper.config.sample_rate

    def speaker_of(self, asked: str | None) -> int | None:
        """The number of a speaker by name or number; `None` is the voice's own. Raises `Broken`."""
        if asked is None:
            return None
        names, count = self._piper.config.speaker_id_map, self._piper.config.num_speakers
        if asked in names:
            return names[asked]
        if asked.isdecimal() and int(asked) < count:
            return int(asked)
        detail = f"there is no speaker {asked!r}; they are numbered from 0 to {count - 1}"
        raise Broken(Reason.SPEAKER, detail)

    def speak(self, text: str, *, speaker: int | None, speed: float, volume: float) -> bytes:
        """A sentence as sound: mono 16-bit PCM at `rate`. Raises `Broken`."""
        config = import_module("piper").SynthesisConfig(
            speaker_id=speaker,
            length_scale=self._piper.config.length_scale / speed,
            volume=volume,
        )
        try:
            chunks = self._piper.synthesize(text, syn_config=config)
            return b"".join(chunk.audio_int16_array.astype("<i2").tobytes() for chunk in chunks)
        except Exception as error:
            # Two libraries, and no kind of error that is theirs.
            raise Broken(_reason_of(error)) from error


class Shelf:
    """The voices that this process has loaded, each by whoever asked for it first."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._voices: dict[str, PiperVoice] = {}
        # It logs sounds that a voice does not know, which are parts of what somebody says.
        logging.getLogger("piper").setLevel(logging.CRITICAL)

    def voice(self, path: str) -> PiperVoice:
        """A voice by its file. Raises `Broken`; then the next to ask tries anew."""
        with self._lock:
            if path not in self._voices:
                self._voices[path] = PiperVoice(_load(path, self._threads))
            return self._voices[path]

    def preload(self, path: str) -> None:
        """Load a voice before anybody asks; if that fails, who asks is told."""
        try:
            self.voice(path)
        except Broken:
            return


def _load(path: str, threads: int) -> _Piper:
    piper, runtime = import_module("piper"), import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work should not keep a processor busy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        described = msgspec.json.decode(Path(f"{path}.json").read_bytes())
        # A cast, because the package's own types are not to be depended on.
        return cast(
            _Piper,
            piper.PiperVoice(
                config=import_module("piper.config").PiperConfig.from_dict(described),
                session=runtime.InferenceSession(
                    path, sess_options=options, providers=["CPUExecutionProvider"]
                ),
            ),
        )
    except Exception as error:
        # Among them are those of onnxruntime, which are nothing more specific.
        raise Broken(_reason_of(error), f"{path}: {type(error).__name__}: {error}") from error


def _reason_of(error: Exception) -> Reason:
    """What is behind an error of a library that has one kind for all."""
    said = str(error).lower()
    is_memory = isinstance(error, MemoryError) or "memory" in said or "bad_alloc" in said
    return Reason.MEMORY if is_memory else Reason.DAMAGED
