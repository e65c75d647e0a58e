"""Converts sound between any two formats while it arrives: samples, or the content of a file.

`StreamConverter` is what callers want; it puts together a `StreamDecoder`, a `Converter` and a
`StreamEncoder`, each of which can be used by itself. All take pieces of any size, hold little, and
give in the end the very samples, counted from the first to the last, that whole files give. They
keep the processor busy, so a server calls them on a thread.

A file's header says things that are known in the end only, and a stream cannot be gone back in:

* WAV leaves with an unknown length in its header, which readers take for "until the end".
* Opus says at its end where it ends. It leaves in pages of a second.
* MP3 says at its beginning how much silence its coder adds there. What is added at the end is told
  by a tag behind it, which our own decoder reads; others play up to 0.2 s of silence there.
* FLAC has no number of samples in its header.

Who can go back writes `StreamEncoder.beginning` over the first bytes, and has the file that
`FileWriter` writes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from beluga_voice.audio import mpeg, sndfile
from beluga_voice.audio.coded_stream import Mp3Decoder, OpusDecoder
from beluga_voice.audio.convert import Converter
from beluga_voice.audio.file_kind import HEAD_BYTES, FileKind, kind_of, refusal
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav_stream import WavDecoder, WavEncoder, wav_header
from beluga_voice.errors import AlreadyClosed, Misuse

_DECODED = (FileKind.WAV, FileKind.MP3, FileKind.OPUS)
_PIECE_BYTES = 1 << 16
_LAME_DELAY = 576
"""What LAME adds at the beginning, at every rate (3.100, tried 2026-11-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """A kind of file, and the format of the sound that goes into it."""

    kind: FileKind
    shape: AudioFormat
    quality: float | None = None
    """From 0, the smallest, to 1, the best; `None` is as the coder has it. WAV has none."""


type Source = AudioFormat | FileKind | None
type Target = AudioFormat | FileFormat | FileKind


class StreamConverter:
    """Converts what arrives from `source` to `target`.

    * `source`: an `AudioFormat` for samples, a `FileKind` for the content of a file, `None` for a
      file of whatever kind it turns out to be. FLAC and Vorbis are read as whole files only.
    * `target`: an `AudioFormat` for samples, a `FileFormat`, or a `FileKind` for a file with 16-bit
      PCM (what that means, see `FileWriter`) at the rate and with the channels of the source.

    Raises `WrongFormat` for what a kind of file does not have, at once or as soon as the source is
    known, and for input that is damaged; then nothing more can be fed. `MissingExtra` without the
    package that MP3, OGG and FLAC need.
    """

    def __init__(self, source: Source, target: Target) -> None:
        self._decoder = None if isinstance(source, AudioFormat) else StreamDecoder(source)
        self._target = target
        self._converter: Converter | None = None
        self._encoder: StreamEncoder | None = None
        self._is_closed = False
        if isinstance(target, FileFormat):
            self._encoder = StreamEncoder(target.kind, target.shape, quality=target.quality)
        elif isinstance(target, FileKind) and target is not FileKind.WAV:
            sndfile.library()
        if isinstance(source, AudioFormat):
            self._begin(source)

    @property
    def source(self) -> AudioFormat | None:
        """The format of the samples that arrive; `None` until a file has told it."""
        return self._converter.source if self._converter else None

    @property
    def target(self) -> AudioFormat | None:
        """The format of the samples that leave; `None` until it is known."""
        return self._converter.target if self._converter else None

    @property
    def beginning(self) -> bytes:
        """After `finish`, what should stand at the beginning of a file; see `StreamEncoder`."""
        return self._encoder.beginning if self._encoder else b""

    def feed(self, data: bytes) -> bytes:
        """What is ready once `data` was added, perhaps nothing.

        Raises `WrongFormat` for what is damaged, and `AlreadyClosed` after that or after `finish`.
        """
        self._check()
        pieces = (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))
        try:
            return b"".join([self._feed(piece) for piece in pieces])
        except BaseException:
            self.close()
            raise

    def finish(self) -> bytes:
        """All that is held, and the end of a file; nothing follows.

        Raises `WrongFormat` for sound that ends inside a sample, a file that ends inside its
        header, and no sound at all where only WAV can hold that.
        """
        self._check()
        try:
            ready = b""
            if self._decoder is not None:
                ready = self._convert(self._decoder.finish())
            assert self._converter is not None
            rest = self._converter.flush()
            if self._encoder is None:
                return ready + rest
            return ready + self._encoder.feed(rest) + self._encoder.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of what is held; closing again does nothing."""
        self._is_closed = True
        if self._decoder is not None:
            self._decoder.close()
        if self._encoder is not None:
            self._encoder.close()

    def _check(self) -> None:
        if self._is_closed:
            raise AlreadyClosed("this conversion is over; begin another", op="files")

    def _feed(self, data: bytes) -> bytes:
        return self._convert(data if self._decoder is None else self._decoder.feed(data))

    def _convert(self, samples: bytes) -> bytes:
        if self._converter is None:
            assert self._decoder is not None
            if self._decoder.format is None:
                return b""
            self._begin(self._decoder.format)
        assert self._converter is not None
        converted = self._converter.feed(samples)
        return converted if self._encoder is None else self._encoder.feed(converted)

    def _begin(self, source: AudioFormat) -> None:
        """The format of what arrives is known."""
        match self._target:
            case AudioFormat():
                target = self._target
            case FileFormat(shape=target):
                pass
            case FileKind() as kind:
                target = AudioFormat(Encoding.PCM16, source.rate, source.channels)
                self._encoder = StreamEncoder(kind, target)
        self._converter = Converter(source, target)


def converted(pieces: Iterable[bytes], source: Source, target: Target) -> Iterator[bytes]:
    """What the pieces become, piece by piece; raises as `StreamConverter` does."""
    converter = StreamConverter(source, target)
    try:
        for piece in pieces:
            if ready := converter.feed(piece):
                yield ready
        if rest := converter.finish():
            yield rest
    finally:
        converter.close()


class StreamDecoder:
    """Gives the samples of a WAV, MP3 or Opus file that arrives in pieces of any size.

    `format` is `None` until the header is there, and so is `kind` unless it was stated. MP3 and
    Opus become 16-bit PCM; WAV stays what it is. What is cut short gives what is there. Raises
    `WrongFormat` for anything else, for what is damaged and for what is not of the stated kind.
    """

    def __init__(self, kind: FileKind | None = None) -> None:
        self.kind = kind
        if kind is not None:
            _refuse_undecoded(kind)
        self._head = b""
        self._decoder: Mp3Decoder | OpusDecoder | WavDecoder | None = None
        self._is_closed = False

    @property
    def format(self) -> AudioFormat | None:
        """The format of the samples."""
        return self._decoder.format if self._decoder else None

    def feed(self, data: bytes) -> bytes:
        """The samples that are ready once `data` was added; perhaps none."""
        self._check()
        if self._decoder is None:
            self._head += data
            if len(self._head) < HEAD_BYTES:
                return b""
            data = self._begin()
        assert self._decoder is not None
        return self._decoder.feed(data)

    def finish(self) -> bytes:
        """All that is held; nothing follows. Raises `WrongFormat` if there was no whole header."""
        self._check()
        self._is_closed = True
        ready = b""
        if self._decoder is None:
            head = self._begin()
            assert self._decoder is not None
            ready = self._decoder.feed(head)
        if isinstance(self._decoder, WavDecoder):
            self._decoder.flush()
            return ready
        return ready + self._decoder.finish()

    def close(self) -> None:
        """Let go of what is held; closing again does nothing."""
        self._is_closed = True
        if isinstance(self._decoder, Mp3Decoder | OpusDecoder):
            self._decoder.close()

    def _check(self) -> None:
        if self._is_closed:
            raise AlreadyClosed("this stream is over; begin another", op="files")

    def _begin(self) -> bytes:
        """See what it is; what has arrived of it."""
        found = kind_of(self._head)
        if self.kind not in (None, found):
            raise refusal(f"this was said to be {self.kind} and is {found}")
        _refuse_undecoded(found)
        self.kind = found
        match found:
            case FileKind.MP3:
                self._decoder = Mp3Decoder()
            case FileKind.OPUS:
                self._decoder = OpusDecoder()
            case _:
                self._decoder = WavDecoder()
        head, self._head = self._head, b""
        return head


def _refuse_undecoded(kind: FileKind) -> None:
    if kind not in _DECODED:
        raise refusal(f"{kind} cannot be decoded while it arrives; collect it, and use read_sound")
    if kind is not FileKind.WAV:
        sndfile.library()


class StreamEncoder:
    """Gives the content of a file of that kind for samples that arrive in pieces of any size.

    `shape` and `quality` are those of `FileWriter`, which see for what is raised.
    """

    def __init__(self, kind: FileKind, shape: AudioFormat, *, quality: float | None = None) -> None:
        sndfile.check_shape(kind, shape)
        if quality is not None and not 0 <= quality <= 1:
            raise Misuse(f"a quality of {quality} is outside 0 to 1", op="files")
        self.kind = kind
        self.format = shape
        self.samples = 0
        """Samples of each channel so far."""
        self.beginning = b""
        """After `finish`, what the first bytes should be now that all is known; empty where they
        are that already."""
        self._wav: WavEncoder | None = None
        self._sink = _Mp3Sink() if kind is FileKind.MP3 else _Sink()
        self._writer: Any = None
        if kind is FileKind.WAV:
            self._wav = WavEncoder(shape)
        else:
            self._writer = sndfile.writing(self._sink, kind, shape, quality)
        self._is_closed = False

    def feed(self, data: bytes) -> bytes:
        """What is ready once `data` was added, perhaps nothing.

        Raises `WrongFormat` if `data` ends inside a sample; nothing was taken then.
        """
        self._check()
        samples = self.format.samples(data)
        self.samples += samples
        if self._wav is not None:
            return self._wav.feed(data) if samples else b""
        step = sndfile.PIECE_SAMPLES * self.format.block_bytes
        for at in range(0, len(data), step):
            piece = sndfile.as_samples(data[at : at + step], self.kind, self.format)
            self._writer.write(piece)
        return self._sink.take()

    def finish(self) -> bytes:
        """The end of the file; nothing follows.

        Raises `WrongFormat` if there was no sound at all, which only WAV can hold.
        """
        self._check()
        if self._wav is not None:
            self._is_closed = True
            self.beginning = wav_header(self.format, self.samples)
            return self._wav.flush()
        if not self.samples:
            self.close()
            raise refusal(f"a file of {self.kind} holds one sample or more; write WAV, or no file")
        self.close()
        ready = self._sink.end()
        self.beginning = self._sink.beginning
        return ready

    def close(self) -> None:
        """Let go of what is held; closing again does nothing."""
        self._is_closed = True
        if self._writer is not None and not self._writer.closed:
            self._writer.close()

    def _check(self) -> None:
        if self._is_closed:
            raise AlreadyClosed("this file is finished; begin another", op="files")


class _Sink:
    """A file that is passed on as it is written; of its beginning a copy is kept."""

    _KEPT = 8192

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._head = bytearray()
        self._taken = b""
        """Of the beginning, what was passed on."""
        self._at: int = 0
        self._size: int = 0

    @property
    def beginning(self) -> bytes:
        """The beginning as it is now, if that is not what was passed on."""
        changed = bytes(self._head[: len(self._taken)])
        return changed if changed != self._taken else b""

    def take(self) -> bytes:
        """What was written since the last time."""
        ready = bytes(self._waiting)
        self._waiting.clear()
        room = self._KEPT - len(self._taken)
        self._taken += ready[: max(room, 0)]
        return ready

    def end(self) -> bytes:
        """What was written since the last time, and what comes behind it."""
        return self.take()

    def write(self, data: bytes) -> int:
        if self._at == self._size:
            self._waiting += data
            self._size += len(data)
        # What is not yet passed on may still change there; of the rest, the beginning may.
        elif self._at >= (passed := self._size - len(self._waiting)):
            self._waiting[self._at - passed : self._at - passed + len(data)] = data
        if self._at < self._KEPT:
            kept = data[: self._KEPT - self._at]
            self._head[self._at : self._at + len(kept)] = kept
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at


class _Mp3Sink(_Sink):
    """A file of MP3, whose first frame has to say something before all is known."""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0
        """Bytes of the first frame, once it was passed on."""

    def take(self) -> bytes:
        if self._first:
            return super().take()
        header = mpeg.FrameHeader.of(self._waiting)
        if header is None or len(self._waiting) < header.size:
            return b""
        self._first = header.size
        told = mpeg.info_frame(bytes(self._waiting), frames=None, delay=_LAME_DELAY)
        self._waiting[: header.size] = told
        return super().take()

    def end(self) -> bytes:
        if not self._first:
            return super().take()  # nothing was passed on, and the coder has come back to it
        final = bytes(self._head[: self._first])
        header, info = mpeg.FrameHeader.of(final), mpeg.Info.of(final)
        assert header is not None
        assert info is not None
        extent = info.extent(header.samples)
        assert info.delay is not None
        assert extent.length is not None
        return self.take() + mpeg.extent_tag(info.delay, info.padding, extent.length)
