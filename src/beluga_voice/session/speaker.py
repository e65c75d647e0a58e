"""What speaks to the person: sound goes to the line at the pace at which it is heard.

How it works. The line plays what it is sent in order. The speaker knows until when the line is
busy and hands over the next piece when what is ahead of real time falls below the line's lead.
Time is counted from an anchor in samples, so an hour does not drift; the anchor moves when the
line ran dry. The last seconds of what was handed over are kept, so that after a pause the word that
was cut can be heard from its beginning.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from beluga_voice.audio.formats import FRAME_MILLISECONDS, to_samples
from beluga_voice.audio.playout import Playout
from beluga_voice.audio.tone import tone
from beluga_voice.events import ClearPlayback, PlayAudio, ResponseId
from beluga_voice.interfaces import Line

LATE_SECONDS = 0.06
"""Later than this, the line has surely run dry, and counting starts anew."""

MAX_WAITING_SECONDS = 600
"""More unheard sound than this is a fault of the service; what is beyond is dropped."""

KEPT_SECONDS = 3
"""How much of what was handed over is kept for a pause, beside what the line holds ahead."""

type Sent = Callable[[ResponseId, bytes, int, float, float], None]
"""Told of each piece: whose, what the line got, how many samples of the service's that is,
until when the line is busy, and now."""


class Speaker:
    """The pacing of one line. `rate` is the service's; the line may have another."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        line: Line,
        rate: int,
        on_sent: Sent,
        on_wake: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._line = line
        self._rate = rate
        self._on_sent = on_sent
        self._on_wake = on_wake
        self._frame = to_samples(FRAME_MILLISECONDS, rate)
        lead_ms = max(line.options.lead_ms, FRAME_MILLISECONDS)
        self._lead = lead_ms / 1000
        self._step = max(FRAME_MILLISECONDS, lead_ms / 2) / 1000
        self._playout: Playout[ResponseId] = Playout()
        self._anchor = 0.0
        self._since_anchor = 0
        self._is_dry = True
        self.ready_words = b""
        """What is heard in place of a tone: mono 16-bit PCM at the line's rate."""
        self._is_paused = False
        self._recent: deque[tuple[ResponseId, bytes]] = deque()
        self._recent_samples = 0
        self._kept = round((KEPT_SECONDS + self._lead) * rate)
        self._timer: asyncio.TimerHandle | None = None
        self._converter = None
        if line.options.output_rate != rate:
            from beluga_voice.audio.resample import Resampler

            self._converter = Resampler(rate, line.options.output_rate)

    @property
    def busy_until(self) -> float:
        """When the line will have played all it was sent."""
        return self._anchor + self._since_anchor / self._rate

    def queue(self, response_id: ResponseId, pcm: bytes) -> bool:
        """Sound behind what waits; false if it had to be dropped because too much waits."""
        if self._playout.samples >= MAX_WAITING_SECONDS * self._rate:
            return False
        self._playout.put(response_id, pcm)
        if self._timer is None and not self._is_paused:
            self.speak()
        return True

    def finish(self, response_id: ResponseId) -> None:
        """No more sound of this response follows."""
        self._playout.finish(response_id)
        if self._playout.first is None:
            self._end_conversion()
        elif self._timer is None and not self._is_paused:
            self.speak()

    def speak(self) -> None:
        """Hand over what is due."""
        self._timer = None
        playout = self._playout
        while playout.ready(self._frame):
            now = self._loop.time()
            until = self.busy_until
            if until < now and (self._is_dry or now - until > LATE_SECONDS):
                self._anchor, self._since_anchor = now, 0
                until = now
            room = round((self._lead - (until - now)) * self._rate)
            if room < self._frame:
                self._wake_at(until - self._lead + self._step)
                return
            piece = playout.take(room - room % self._frame)
            if piece is None:
                return
            self._hand_over(piece[0], piece[1], now)

    def silence(self) -> None:
        """Drop what waits, and let the line fall silent."""
        self._playout.clear()
        self._recent.clear()
        self._recent_samples = 0
        self._is_paused = False
        self._fall_silent()

    def move_back(self, response_id: ResponseId) -> None:
        """What comes of this response is heard behind the others."""
        self._playout.move_back(response_id)
        if self._timer is None and not self._is_paused:
            self.speak()

    def drop(self, response_id: ResponseId) -> None:
        """Hand over no more of this response."""
        self._playout.drop(response_id)
        if self._timer is None and not self._is_paused:
            self.speak()

    def pause(self, samples: int) -> None:
        """Let the line fall silent; so much of what was handed over is to be handed over again."""
        self._is_paused = True
        recent = self._recent
        while samples > 0 and recent:
            response_id, pcm = recent.pop()
            length = len(pcm) >> 1
            self._recent_samples -= length
            if length > samples:
                first = (length - samples) * 2
                recent.append((response_id, pcm[:first]))
                self._recent_samples += length - samples
                pcm, length = pcm[first:], samples
            self._playout.put_back(response_id, pcm)
            samples -= length
        self._fall_silent()

    def resume(self) -> None:
        """Go on after a pause."""
        self._is_paused = False
        self.speak()

    def _fall_silent(self) -> None:
        if self._converter is not None:
            self._converter.clear()
        now = self._loop.time()
        if self.busy_until > now:
            self._anchor, self._since_anchor = now, 0
        self._is_dry = True
        self._line.send(ClearPlayback())
        self.stop()

    def tone(self) -> None:
        """A short tone, or the words that were made ready, unless something sounds.

        A response that comes meanwhile is heard behind it.
        """
        if self._playout.first is None and self.busy_until <= self._loop.time():
            rate = self._line.options.output_rate
            pcm = self.ready_words or tone(rate)
            length = (len(pcm) >> 1) * self._rate // rate
            self._anchor, self._since_anchor = self._loop.time(), length
            self._line.send(PlayAudio(pcm=pcm))

    def stop(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self, response_id: ResponseId, pcm: bytes, now: float) -> None:
        samples = len(pcm) >> 1
        self._since_anchor += samples
        recent = self._recent
        recent.append((response_id, pcm))
        kept = self._recent_samples + samples
        while kept > self._kept:
            kept -= len(recent.popleft()[1]) >> 1
        self._recent_samples = kept
        self._is_dry = not self._playout.samples
        if self._converter is not None:
            pcm = self._converter.feed(pcm)
            if self._playout.first is None:
                pcm += self._converter.flush()
        self._line.send(PlayAudio(pcm=pcm))
        self._on_sent(response_id, pcm, samples, self.busy_until, now)

    def _end_conversion(self) -> None:
        """Nothing follows what was handed over: give the line what the conversion holds back."""
        if self._converter is not None and (rest := self._converter.flush()):
            self._line.send(PlayAudio(pcm=rest))

    def _wake_at(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._on_wake)
