"""Turns sound of one format into sound of another.

On the way sound is 64-bit floating point, full scale at 1.0, shape (samples, channels), so that no
bit of 32-bit PCM is lost by copying a channel. Order: decode, mix, resample, encode. Channels are
mixed before resampling where there get fewer, copied after it where there get more.

Several channels become one by their mean, one becomes several by copying, and between two different
numbers above one sound goes through mono: which channel is left or centre is not known here.

Whatever is too loud is clipped, never wrapped. Floating point input is limited to full scale, and
"not a number" counts as silence.
"""

import numpy as np

from beluga_voice.audio import g711
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.resample import ArrayResampler, Samples
from beluga_voice.errors import WrongFormat

_TO_PCM16 = {Encoding.MULAW: g711.mulaw_decode, Encoding.ALAW: g711.alaw_decode}
_FROM_PCM16 = {Encoding.MULAW: g711.mulaw_encode, Encoding.ALAW: g711.alaw_encode}


class Converter:
    """Converts a stream from `source` to `target`, whatever sizes it arrives in.

    A chunk may end inside a sample: the incomplete part waits for the next chunk. Where the two
    formats are equal, `feed` returns its argument and does not look inside.
    """

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        self.source = source
        self.target = target
        self._held = b""
        # 16-bit PCM and the G.711 laws convert by table; anything else goes through floats.
        self._is_by_table = (source.rate, source.channels) == (target.rate, target.channels) and (
            Encoding.PCM32 not in (source.encoding, target.encoding)
            and Encoding.FLOAT32 not in (source.encoding, target.encoding)
        )
        self._mixed = source.channels if source.channels == target.channels else 1
        self._resampler: ArrayResampler | None = None
        if source.rate != target.rate:
            self._resampler = ArrayResampler(source.rate, target.rate, channels=self._mixed)

    @property
    def delay_samples(self) -> int:
        """Samples at the target's rate that wait inside: what `flush` would give."""
        return self._resampler.delay_samples if self._resampler else 0

    def feed(self, data: bytes) -> bytes:
        """What is ready once `data` was added, perhaps nothing."""
        if self._held:
            data = self._held + data
            self._held = b""
        incomplete = len(data) % self.source.block_bytes
        if incomplete:
            self._held = data[-incomplete:]
            data = data[:-incomplete]
        if self.source == self.target:
            return data
        if self._is_by_table:
            return _encode16(_decode16(data, self.source.encoding), self.target.encoding)
        samples = self._mix(_decode(data, self.source))
        if self._resampler:
            samples = self._resampler.feed(samples)
        return self._encode(samples)

    def flush(self) -> bytes:
        """All that is held; the next `feed` begins another stream.

        Raises `WrongFormat` if the stream ended inside a sample. The incomplete sample is gone
        then, and another `flush` gives what came before it.
        """
        if self._held:
            incomplete, self._held = len(self._held), b""
            raise WrongFormat(
                f"the sound ends {incomplete} bytes into a sample of {self.source.block_bytes}; "
                "it was cut short, or is not of the stated format",
                op="convert",
            )
        return self._encode(self._resampler.flush()) if self._resampler else b""

    def clear(self) -> None:
        """Forget what is held and begin another stream."""
        self._held = b""
        if self._resampler:
            self._resampler.clear()

    def _mix(self, samples: Samples) -> Samples:
        if samples.shape[1] == self._mixed:
            return samples
        return np.mean(samples, axis=1, keepdims=True)

    def _encode(self, samples: Samples) -> bytes:
        if self._mixed != self.target.channels:
            samples = np.repeat(samples, self.target.channels, axis=1)
        return _encode(samples, self.target.encoding)


def convert(data: bytes, source: AudioFormat, target: AudioFormat) -> bytes:
    """The whole of `data`, converted at once; raises `WrongFormat` if it ends inside a sample."""
    source.samples(data)
    converter = Converter(source, target)
    ready = converter.feed(data)
    # Joined only where there is a rest, so that equal formats give back the same object.
    rest = converter.flush()
    return ready + rest if rest else ready


def _decode16(data: bytes, encoding: Encoding) -> bytes:
    table = _TO_PCM16.get(encoding)
    return table(data) if table else data


def _encode16(pcm: bytes, encoding: Encoding) -> bytes:
    table = _FROM_PCM16.get(encoding)
    return table(pcm) if table else pcm


def _decode(data: bytes, source: AudioFormat) -> Samples:
    samples: Samples
    match source.encoding:
        case Encoding.FLOAT32:
            samples = np.frombuffer(data, "<f4").astype(np.float64).clip(-1, 1)
            samples[np.isnan(samples)] = 0
        case Encoding.PCM32:
            samples = np.frombuffer(data, "<i4").astype(np.float64)
            samples *= 2**-31
        case Encoding.PCM16 | Encoding.MULAW | Encoding.ALAW:
            samples = np.frombuffer(_decode16(data, source.encoding), "<i2").astype(np.float64)
            samples *= 2**-15
    return samples.reshape(-1, source.channels)


def _encode(samples: Samples, encoding: Encoding) -> bytes:
    match encoding:
        case Encoding.FLOAT32:
            return samples.clip(-1, 1).astype("<f4").tobytes()
        case Encoding.PCM32:
            return _as_integers(samples, 2**31).astype("<i4").tobytes()
        case Encoding.PCM16 | Encoding.MULAW | Encoding.ALAW:
            return _encode16(_as_integers(samples, 2**15).astype("<i2").tobytes(), encoding)


def _as_integers(samples: Samples, full_scale: int) -> Samples:
    return np.rint(samples * full_scale).clip(-full_scale, full_scale - 1)
