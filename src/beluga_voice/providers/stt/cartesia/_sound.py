"""What is known of the sound that was sent, without asking the service."""

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.audio.level import rms

VOICE_LEVEL = 0.003
"""Sound below this fraction of full scale (-50 dB) is no voice."""
PIECE_MS = 100
"""The length of one piece of silence that is fed; what the service recommends for sound."""

_SILENT_BYTE = {Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}


class SentSound:
    """Counts the sound of a link, and of the present utterance in it."""

    def __init__(self, source: AudioFormat, now: float) -> None:
        self._source = source
        self._plain = pcm16(source.rate)
        self._position = 0
        self._half = b""
        self.begins = 0
        """Where the present utterance begins, in samples from the first of the link."""
        self.has_begun = False
        """Whether there is any sound of the present utterance."""
        self.voice_at: float | None = None
        """When the last voice of the present utterance was sent."""
        self.unanswered_seconds = 0.0
        """How much voice was sent since the service last said something."""
        self.sent_at = now
        """When sound was last sent, of the person or silence of ours."""

    def whole(self, pcm: bytes) -> bytes:
        """The whole samples in it; half a sample waits for the other half."""
        pcm = self._half + pcm
        end = len(pcm) - len(pcm) % self._source.block_bytes
        self._half = pcm[end:]
        return pcm[:end]

    @property
    def rate(self) -> int:
        """Samples in a second."""
        return self._source.rate

    def take(self, pcm: bytes, now: float) -> None:
        """Sound of the person, in whole samples."""
        if not self.has_begun:
            self.has_begun, self.begins = True, self._position
        samples = len(pcm) // self._source.block_bytes
        self._position += samples
        self.sent_at = now
        if rms(convert(pcm, self._source, self._plain)) >= VOICE_LEVEL:
            self.voice_at = now
            self.unanswered_seconds += samples / self._source.rate

    def silence(self, milliseconds: int, now: float) -> list[bytes]:
        """Silence of ours, in pieces."""
        pieces: list[bytes] = []
        silent = _SILENT_BYTE.get(self._source.encoding, b"\0")
        left = self._source.rate * milliseconds // 1000
        while left > 0:
            samples = min(left, self._source.rate * PIECE_MS // 1000)
            left -= samples
            self._position += samples
            pieces.append(silent * (samples * self._source.block_bytes))
        self.sent_at = now
        return pieces

    def next_utterance(self) -> None:
        """What follows belongs to another utterance."""
        self.has_begun = False
        self._half = b""
        self.voice_at = None
