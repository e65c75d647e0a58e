"""The input buffer of an emulated service, and how sound is written there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.audio.g711 import alaw_decode, alaw_encode, mulaw_decode, mulaw_encode
from beluga_voice.testing.emulators.realtime_frames import Refused
from beluga_voice.testing.emulators.speech import HearingVad, VoiceBegan, VoiceEnded

MIN_COMMIT_MS = 100
SEMANTIC_SILENCE_MS = 500
"""How long a silence ends a turn where the words are said to decide."""


@dataclass(frozen=True, slots=True)
class Law:
    """How sound is written on the wire."""

    rate: int
    block: int
    decode: Callable[[bytes], bytes]
    encode: Callable[[bytes], bytes]

    def milliseconds(self, sound: bytes) -> float:
        """The length of sound as it is on the wire."""
        return to_milliseconds(len(sound) // self.block, self.rate)


_TELEPHONE = {
    "audio/pcmu": Law(8000, 1, mulaw_decode, mulaw_encode),
    "audio/pcma": Law(8000, 1, alaw_decode, alaw_encode),
}


def law_of(wire_format: dict[str, Any]) -> Law:
    """How sound is written in a format, as it is named on the wire."""
    return _TELEPHONE.get(wire_format["type"]) or Law(wire_format["rate"], 2, bytes, bytes)


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech begins there, the padding before it included."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Speech ended, the silence after it included; this is all of it."""

    at_ms: int
    pcm: bytes


class InputBuffer:
    """Sound of the person since the last utterance; without `detection`, the client cuts it."""

    def __init__(self) -> None:
        self._law = Law(24000, 2, bytes, bytes)
        self._vad: HearingVad | None = None
        self._padding = 0
        self._pcm = bytearray()
        self._begin = 0
        self._end = 0
        self._speech_began: int | None = None

    def configure(self, law: Law, detection: dict[str, Any] | None) -> None:
        """Hear sound of that kind, and find speech in it so."""
        self._law = law
        self._vad = None
        self._padding = 0
        if detection is not None:
            silence_ms = detection.get("silence_duration_ms") or SEMANTIC_SILENCE_MS
            self._vad = HearingVad(rate=law.rate, silence_ms=silence_ms)
            self._vad.position = self._end
            self._padding = to_samples(detection.get("prefix_padding_ms") or 0, law.rate)

    def append(self, pcm: bytes) -> list[SpeechStarted | SpeechStopped]:
        """More sound, and what is found in it."""
        self._pcm += pcm
        self._end += len(pcm) // 2
        if self._vad is None:
            return []
        found: list[SpeechStarted | SpeechStopped] = []
        for change in self._vad.hear(pcm):
            match change:
                case VoiceBegan():
                    self._speech_began = max(change.at - self._padding, self._begin)
                    found.append(SpeechStarted(self._ms(self._speech_began)))
                case VoiceEnded():
                    found.append(self._stopped(change.noticed))
        if self._speech_began is None:
            self._forget_before(self._end - self._padding)
        return found

    def commit(self) -> bytes:
        """All the sound there is; raises `Refused` if that is too little."""
        length = to_milliseconds(len(self._pcm) // 2, self._law.rate)
        if length < MIN_COMMIT_MS:
            raise Refused(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{MIN_COMMIT_MS}ms of audio, but buffer only has {length:.2f}ms of audio.",
            )
        pcm = bytes(self._pcm)
        self.clear()
        return pcm

    def clear(self) -> None:
        """Forget it."""
        self._pcm.clear()
        self._begin = self._end
        self._speech_began = None
        if self._vad is not None:
            self._vad.reset()

    def _stopped(self, at: int) -> SpeechStopped:
        assert self._speech_began is not None
        self._forget_before(self._speech_began)
        pcm = bytes(self._pcm[: (at - self._begin) * 2])
        self._forget_before(at)
        self._speech_began = None
        return SpeechStopped(self._ms(at), pcm)

    def _forget_before(self, position: int) -> None:
        surplus = position - self._begin
        if surplus > 0:
            del self._pcm[: surplus * 2]
            self._begin = position

    def _ms(self, samples: int) -> int:
        return int(to_milliseconds(samples, self._law.rate))
