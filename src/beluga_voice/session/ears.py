"""What hears the person: sound in, and out comes when a voice starts and stops.

How it works. The line's sound goes through processors, a noise reducer say, one after another, and
in frames of the detector's own size to the voice detector, resampled to its rate if need be. A
short stretch of the past is kept, so that an utterance is not missing its first syllable when the
voice is noticed.
"""

from collections import deque
from collections.abc import Sequence

from beluga_voice.audio.formats import to_samples
from beluga_voice.audio.framing import Framer
from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import AudioProcessor, VoiceActivityDetector


class Ears:
    """The hearing of one session; everything in it is a plain call."""

    def __init__(
        self,
        *,
        rate: int,
        detector: VoiceActivityDetector | None,
        settings: VoiceSettings,
        processors: Sequence[AudioProcessor] = (),
    ) -> None:
        self._detector = detector
        self._processors = [(one, Framer(one.frame_samples * 2)) for one in processors]
        self.processes = bool(processors)
        """Whether `process` does anything."""
        self._past: deque[bytes] = deque()
        self._past_samples = 0
        self._keep = to_samples(settings.preroll_ms + settings.start_ms, rate)
        for one in processors:
            if one.rate != rate:
                message = (
                    f"the audio processor {type(one).__name__} works at {one.rate} Hz, "
                    f"and the line at {rate} Hz"
                )
                raise ConfigurationError(message, op="ears")
        if detector is not None:
            self._frame_bytes = detector.frame_samples * 2
            self._frames = Framer(self._frame_bytes)
            self._segmenter = VoiceSegmenter(settings, detector.rate)
            self._resampler = None
            if detector.rate != rate:
                from beluga_voice.audio.resample import Resampler

                self._resampler = Resampler(rate, detector.rate)

    def process(self, pcm: bytes) -> bytes:
        """Let the processors change it; they give whole frames, so less or more than they got."""
        for processor, frames in self._processors:
            pcm = b"".join([processor.process(frame) for frame in frames.feed(pcm)])
        return pcm

    def hear(self, pcm: bytes) -> Sequence[VoiceStarted | VoiceStopped]:
        """What became known through this sound."""
        detector = self._detector
        if detector is None:
            return ()
        if self._resampler is not None:
            pcm = self._resampler.feed(pcm)
        if len(pcm) == self._frame_bytes and not self._frames.held:
            change = self._segmenter.hear(detector.process(pcm), detector.frame_samples)
            return () if change is None else (change,)
        heard: list[VoiceStarted | VoiceStopped] = []
        for frame in self._frames.feed(pcm):
            change = self._segmenter.hear(detector.process(frame), detector.frame_samples)
            if change is not None:
                heard.append(change)
        return heard

    @property
    def hears_voice(self) -> bool:
        """Whether a voice is on, and the last frame was voice."""
        detector = self._detector
        return detector is not None and self._segmenter.is_voice and self._segmenter.is_loud

    def remember(self, pcm: bytes) -> None:
        """Keep sound for the case that it turns out to be the beginning of an utterance."""
        past = self._past
        past.append(pcm)
        samples = self._past_samples + (len(pcm) >> 1)
        while past and samples - (oldest := len(past[0]) >> 1) >= self._keep:
            del past[0]
            samples -= oldest
        self._past_samples = samples

    def recall(self) -> list[bytes]:
        """Take out what was kept."""
        past = list(self._past)
        self._past.clear()
        self._past_samples = 0
        return past
