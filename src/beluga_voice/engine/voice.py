"""Where voice begins and ends, from a probability per frame.

A detector says for each frame how likely it is speech. Voice *starts* when frames at or above
the threshold add up to `start_ms` with less than that of quiet between them; it *stops* after
`stop_ms` of frames below the lower threshold. Time here is media time, counted in samples: what
it says does not depend on how punctually the frames come.
"""

from dataclasses import dataclass

from msgspec import Struct

from beluga_voice.audio.formats import to_milliseconds, to_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSettings:
    """How sure and how long.

    `threshold` is a probability, and voice that began goes on down to `hysteresis` less.
    """

    threshold: float = 0.5
    hysteresis: float = 0.15
    start_ms: int = 60
    stop_ms: int = 200
    preroll_ms: int = 300
    """Sound from before the start of voice that belongs to the utterance."""


class VoiceStarted(Struct, frozen=True, kw_only=True):
    """Somebody speaks, and has for `ago_ms`."""

    ago_ms: float


class VoiceStopped(Struct, frozen=True, kw_only=True):
    """Nobody speaks, and has not for `ago_ms`."""

    ago_ms: float


class VoiceSegmenter:
    """Turns a probability per frame into `VoiceStarted` and `VoiceStopped`."""

    __slots__ = (
        "_lower",
        "_quiet",
        "_rate",
        "_since_onset",
        "_start",
        "_stop",
        "_upper",
        "_voiced",
        "is_loud",
        "is_voice",
    )

    def __init__(self, settings: VoiceSettings, rate: int) -> None:
        self._rate = rate
        self._upper = settings.threshold
        self._lower = settings.threshold - settings.hysteresis
        self._start = to_samples(settings.start_ms, rate)
        self._stop = to_samples(settings.stop_ms, rate)
        self._voiced = 0
        self._quiet = 0
        self._since_onset = 0
        self.is_voice = False
        self.is_loud = False
        """Whether the last frame was voice, which in a short pause it is not."""

    def hear(self, probability: float, samples: int) -> VoiceStarted | VoiceStopped | None:
        """Take the next frame, of `samples` length."""
        self.is_loud = probability >= self._lower
        if self.is_voice:
            if self.is_loud:
                self._quiet = 0
                return None
            self._quiet += samples
            if self._quiet < self._stop:
                return None
            quiet = self._quiet
            self.reset()
            return VoiceStopped(ago_ms=to_milliseconds(quiet, self._rate))
        if probability >= self._upper:
            self._voiced += samples
            self._since_onset += samples
            self._quiet = 0
            if self._voiced < self._start:
                return None
            onset = self._since_onset
            self.reset()
            self.is_voice = True
            return VoiceStarted(ago_ms=to_milliseconds(onset, self._rate))
        if self._voiced:
            self._quiet += samples
            self._since_onset += samples
            if self._quiet >= self._start:
                self._voiced = self._quiet = self._since_onset = 0
        return None

    def reset(self) -> None:
        """Forget everything: nobody speaks."""
        self._voiced = self._quiet = self._since_onset = 0
        self.is_voice = False
