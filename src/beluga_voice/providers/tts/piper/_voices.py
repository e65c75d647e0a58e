"""The voices that are on this machine: files `NAME.onnx`, each with `NAME.onnx.json` beside it."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import Voice

DEFAULT_VOICE = "en_US-lessac-medium"
"""The voice of Piper's own examples. Source: README of piper1-gpl, read 2026-11-21."""
_SUFFIX = ".onnx"


class _Language(msgspec.Struct, frozen=True):
    code: str = ""


class _Espeak(msgspec.Struct, frozen=True):
    voice: str = ""


class _Described(msgspec.Struct, frozen=True):
    """The part of a voice's description used here."""

    language: _Language = _Language()
    espeak: _Espeak = _Espeak()
    num_speakers: int = 1

    @property
    def tag(self) -> str:
        """Its language as a tag, such as "en-US"."""
        return (self.language.code or self.espeak.voice).replace("_", "-")


@dataclass(frozen=True, slots=True)
class Found:
    """A voice and, if it has several, the speaker that was asked for."""

    path: Path
    speaker: str | None


def default_folder() -> Path:
    """Where voices are kept unless told otherwise: in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "beluga-voice" / "piper"


def voices(folder: Path) -> tuple[Voice, ...]:
    """The voices in a folder, by name; none if there is no folder."""
    found = [_voice(path) for path in folder.glob(f"*{_SUFFIX}")]
    return tuple(sorted((voice for voice in found if voice), key=lambda voice: voice.id))


def _voice(path: Path) -> Voice | None:
    described = _described(path)
    if described is None:
        return None
    many = described.num_speakers
    return Voice(
        id=path.name.removesuffix(_SUFFIX),
        name=path.name.removesuffix(_SUFFIX),
        languages=(described.tag,) if described.tag else (),
        description=f"{many} speakers: add #0 to #{many - 1}" if many > 1 else "",
    )


def find(voice: str | None, language: str | None, *, default: str, folder: Path) -> Found:
    """The voice that is asked for, or the default; for a language, one that speaks it.

    Raises `ConfigurationError`, with what to do, if it is not here or speaks another language.
    """
    name, _, speaker = (voice or default).partition("#")
    path = path_of(name, folder)
    if voice is None and language is not None and not _speaks(path, language):
        path, speaker = _of_language(language, folder), ""
    if files := lacking(path):
        message = f"the voice {name!r} is not on this machine: there is no {files[0]}"
        raise ConfigurationError(f"{message}; {advice(name, folder)}", op="tts.connect")
    if language is not None and not _speaks(path, language):
        raise ConfigurationError(
            f"the voice {name!r} does not speak {language!r}; name one that does",
            op="tts.connect",
        )
    return Found(path, speaker or None)


def lacking(path: Path) -> list[Path]:
    """Those of a voice's two files that are not here."""
    return [file for file in (path, Path(f"{path}.json")) if not file.is_file()]


def path_of(name: str, folder: Path) -> Path:
    """The file of a voice, by its name in the folder or by its own path."""
    if name.endswith(_SUFFIX):
        return Path(name).expanduser()
    return folder / f"{name}{_SUFFIX}"


def advice(name: str, folder: Path) -> str:
    """How to get a voice."""
    if name.endswith(_SUFFIX):
        return "give the path of a voice and have its description beside it"
    return f"fetch it once: python -m piper.download_voices {name} --download-dir {folder}"


def _of_language(language: str, folder: Path) -> Path:
    """The first voice of that language; one of its region before the others."""
    fitting = [
        voice
        for voice in voices(folder)
        if any(_is_alike(tag, language) for tag in voice.languages)
    ]
    wanted = language.replace("_", "-").lower()
    fitting.sort(key=lambda voice: wanted not in (tag.lower() for tag in voice.languages))
    if not fitting:
        raise ConfigurationError(
            f"no voice in {folder} speaks {language!r}; `python -m piper.download_voices` lists"
            f" those there are, and fetches one with its name and --download-dir {folder}",
            op="tts.connect",
        )
    return path_of(fitting[0].id, folder)


def _speaks(path: Path, language: str) -> bool:
    """Whether a voice speaks a language, or one that differs in the region only."""
    described = _described(path)
    return described is not None and _is_alike(described.tag, language)


def _is_alike(tag: str, other: str) -> bool:
    one, two = (each.replace("_", "-").split("-")[0].lower() for each in (tag, other))
    return one == two


def _described(path: Path) -> _Described | None:
    """What a voice says of itself; `None` if it says nothing that can be read."""
    try:
        return msgspec.json.decode(Path(f"{path}.json").read_bytes(), type=_Described)
    except (OSError, msgspec.DecodeError):
        return None
