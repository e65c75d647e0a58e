"""What a sound file is, told by its first bytes: a name or a stated type is often wrong."""

from enum import StrEnum

from beluga_voice.audio.wav import is_wav
from beluga_voice.errors import WrongFormat

HEAD_BYTES = 512
"""How much of a file says what it is."""


class FileKind(StrEnum):
    """What a file is, by its content."""

    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    OPUS = "opus"
    """Opus in OGG, as browsers and telephones send it."""
    VORBIS = "vorbis"
    """Vorbis in OGG."""


_OTHERS = {
    b"ftyp": (4, "MP4 or M4A"),
    b"\x1aE\xdf\xa3": (0, "WebM or Matroska"),
    b"FORM": (0, "AIFF"),
    b"caff": (0, "CAF"),
    b".snd": (0, "AU"),
    b"riff.\x91\xcf\x11": (0, "Wave64"),
    b"\x30\x26\xb2\x75": (0, "WMA or ASF"),
    b"#!AMR": (0, "AMR"),
    b"%PDF": (0, "PDF"),
    b"PK\x03\x04": (0, "ZIP"),
    b"{": (0, "JSON"),
    b"<": (0, "HTML or XML"),
}
"""What people hand in by mistake: what it begins with, and where."""

_ADVICE = "give WAV, MP3, FLAC or OGG/Opus, for instance from: ffmpeg -i <file> sound.wav"


def kind_of(head: bytes) -> FileKind:
    """What a file is whose first bytes these are; 512 are enough.

    Raises `WrongFormat` that names it where it can, for anything else.
    """
    if not head:
        raise refusal(f"this is empty; {_ADVICE}")
    if is_wav(head):
        return FileKind.WAV
    if head[:4] == b"fLaC":
        return FileKind.FLAC
    if head[:4] == b"OggS":
        if b"OpusHead" in head[:HEAD_BYTES]:
            return FileKind.OPUS
        if b"\x01vorbis" in head[:HEAD_BYTES]:
            return FileKind.VORBIS
        others = (b"\x7fFLAC", "FLAC"), (b"Speex   ", "Speex"), (b"\x80theora", "video")
        found = next((name for mark, name in others if mark in head), "neither Opus nor Vorbis")
        raise refusal(f"an OGG file of {found}; {_ADVICE}")
    if head[:3] == b"ID3" or _is_mpeg_frame(head):
        return FileKind.MP3
    if head[0] == 0xFF and len(head) > 2 and head[1] & 0xE0 == 0xE0:
        raise refusal(f"this is {_mpeg_of(head)}; {_ADVICE}")
    for mark, (at, name) in _OTHERS.items():
        if head[at : at + len(mark)] == mark:
            raise refusal(f"this is {name}; {_ADVICE}")
    raise refusal(f"this is no sound file, it begins with {head[:12]!r}; {_ADVICE}")


def _is_mpeg_frame(head: bytes) -> bool:
    """Whether it begins with the header of a frame of MPEG layer III."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer == 1 and bitrate not in (0, 15) and rate != 3


def _mpeg_of(head: bytes) -> str:
    """What begins like MPEG layer III, and is not."""
    layer = head[1] >> 1 & 3
    if layer == 0:
        return "AAC (ADTS)"
    if layer == 1 and head[2] >> 4 == 0:
        return "MP3 of a free bit rate"
    return "MPEG audio of another layer, or damaged"


def refusal(message: str) -> WrongFormat:
    """An error about a file."""
    return WrongFormat(message, op="files")
