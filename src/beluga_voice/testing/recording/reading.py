"""A recording as data: what `beluga_voice.resilience.recorded` has written."""

import base64
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import msgspec

from beluga_voice import events
from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import ConfigurationError, Misuse
from beluga_voice.interfaces import Capabilities
from beluga_voice.resilience.recorded import HEADER, VERSION, snake

SOUND = "send_audio"
"""The command that is no order."""

_UNIONS: dict[str, Any] = {
    "S2sOptions": events.S2sEvent,
    "SttOptions": events.SttEvent,
    "TtsOptions": events.TtsEvent,
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line after the header."""

    at: float
    """Seconds since the recording began."""
    what: str
    """Its `is`."""
    kind: str = ""
    """Its `type`."""
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Recording:
    """A call as it was recorded."""

    provider: str
    capabilities: Capabilities
    options_type: str
    """The class of the options: the kind of provider."""
    keeps_audio: bool
    keeps_words: bool
    links: tuple[tuple[Line, ...], ...]
    """What went over each connection, in order."""
    ears: AudioFormat | None
    """The rate of the voice detector; `None` if the recording has no ears."""
    frame_samples: int
    """Of one frame of the detector."""
    voices: tuple[Line, ...]
    """What the detector found in each frame."""
    is_torn: bool
    """The last line was not whole: the process that wrote it was ended."""
    missing: int
    """Lines that were dropped, because the disk was slow."""
    is_full: bool
    """The recording ended before the call, at its bound."""

    @property
    def seconds(self) -> float:
        """How long the call lasted."""
        lines = [line for link in self.links for line in link]
        return max((line.at for line in lines), default=0.0)

    def event(self, line: Line, *, keeps_audio: bool = True) -> Any:
        """The event that was heard; its sound as it was kept, or made up from its hash.

        Raises `Misuse` for what is no event of this kind of provider.
        """
        kind = _kinds(self.options_type).get(line.kind)
        if kind is None:
            raise Misuse(f"{line.kind!r} is no event of this provider", op="recording")
        form = dict(line.fields)
        if "pcm" in form:
            form["pcm"] = sound_of(form["pcm"], keeps_audio=keeps_audio)
        try:
            return msgspec.convert(form, kind)
        except msgspec.ValidationError as error:
            message = f"the {line.kind} at {line.at:.3f} s is none: {error}"
            raise Misuse(message, op="recording") from error


def read(path: Path | str) -> Recording:
    """Read a recording; raises `ConfigurationError` if it cannot be, `Misuse` if it is none."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"cannot read {str(path)!r}: {error.strerror}"
        raise ConfigurationError(message, op="recording") from error
    first, _, rest = data.partition(b"\n")
    header = _form(first, 1)
    version = header.get(HEADER)
    if version is None:
        raise Misuse(f"{str(path)!r} is no recording of a call", op="recording")
    if version != VERSION:
        message = f"it is of version {version}, and this reads version {VERSION}"
        raise Misuse(message, op="recording")
    lines = rest.split(b"\n")
    is_torn = lines.pop() != b""
    return _recording(header, [_form(one, n) for n, one in enumerate(lines, 2)], is_torn=is_torn)


def sound_of(form: Any, *, keeps_audio: bool = True) -> bytes:
    """The sound of which that was told.

    Made up from the hash where it was not kept: noise, and the same noise for the same sound.
    """
    if keeps_audio and "base64" in form:
        return base64.b64decode(form["base64"])
    size = int(form["bytes"])
    return bytes(size) if form.get("silent") else random.Random(form["sha256"]).randbytes(size)


def _recording(
    header: dict[str, Any], forms: Iterable[dict[str, Any]], *, is_torn: bool
) -> Recording:
    links: list[list[Line]] = []
    voices: list[Line] = []
    ears: AudioFormat | None = None
    frame_samples = missing = 0
    is_full = False
    for form in forms:
        what = form.pop("is", "")
        at = form.pop("t", 0.0) / 1000
        match what:
            case "ears":
                ears, frame_samples = AudioFormat(rate=form["rate"]), form["frame_samples"]
            case "voice":
                voices.append(Line(at, what, fields=form))
            case "dropped":
                missing += form["lines"]
            case "full":
                is_full = True
            case _:
                number: int = form.pop("link")
                links += [[] for _ in range(number - len(links))]
                links[number - 1].append(Line(at, what, form.pop("type", ""), form))
    try:
        capabilities = msgspec.convert(header["capabilities"], Capabilities, strict=False)
        return Recording(
            provider=header["provider"],
            capabilities=capabilities,
            options_type=header["options"],
            keeps_audio=header["keeps_audio"],
            keeps_words=header["keeps_words"],
            links=tuple(map(tuple, links)),
            ears=ears,
            frame_samples=frame_samples,
            voices=tuple(voices),
            is_torn=is_torn,
            missing=missing,
            is_full=is_full,
        )
    except (KeyError, msgspec.ValidationError) as error:
        raise Misuse(f"the header of the recording is broken: {error}", op="recording") from error


def _form(line: bytes, number: int) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        message = f"line {number} of the recording is broken: {error}"
        raise Misuse(message, op="recording") from error


def _kinds(options_type: str) -> dict[str, type[Any]]:
    union = _UNIONS.get(options_type)
    if union is None:
        raise Misuse(f"{options_type!r} is no kind of provider", op="recording")
    return {snake(kind.__name__): kind for kind in get_args(union.__value__)}
