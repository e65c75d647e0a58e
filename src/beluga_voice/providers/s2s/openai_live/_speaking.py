"""What the model says: one track without end as responses.

The track is as long as the sound that was taken, and silent while the model is. A response begins
with the first voice or word on it, and ends with a silence; the pauses in it, and the silence by
which its end is known, are part of it, so that a sample of it is a moment of the conversation. A
short silence ends it too, if the person spoke when it began: what follows is another response.

Words are stamped with the time of the session, and sound is not. The first words of a response are
taken to begin where its first sound does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from beluga_voice.audio.formats import AudioFormat, Encoding, to_milliseconds, to_samples
from beluga_voice.audio.g711 import alaw_decode, mulaw_decode
from beluga_voice.audio.level import peaks
from beluga_voice.events import (
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sEvent,
)
from beluga_voice.providers.s2s.openai_live._capabilities import (
    GAP_MS,
    VOICED_PEAK,
    WORDS_FIRST_MS,
)

PAUSE_MS = 300
"""A pause between words: they are no parts of one word."""
LOOK_MS = 20
"""How finely voice is told from silence."""
PIECE_MS = 100
_DECODED: dict[Encoding, Callable[[bytes], bytes]] = {
    Encoding.PCM16: bytes,
    Encoding.MULAW: mulaw_decode,
    Encoding.ALAW: alaw_decode,
}


@dataclass(slots=True)
class _Reply:
    """A response that is being made."""

    id: ResponseId
    is_voiced: bool = False
    is_cut: bool = False
    silent: int = 0
    """Samples since the last voice or word."""
    samples: int = 0
    began_ms: float | None = None
    """When its first words began, by the service's clock."""
    last_ms: tuple[float, float] | None = None
    """When its last words began and ended."""
    last: str = ""
    """Its last character."""


class Replies:
    """The responses of one connection; `prefix` makes their ids unique over all."""

    def __init__(self, prefix: str, sound: AudioFormat) -> None:
        self._prefix = prefix
        self._rate, self._block = sound.rate, sound.block_bytes
        self._decode = _DECODED[sound.encoding]
        self._numbers = 0
        self._reply: _Reply | None = None
        self._before: _Reply | None = None
        self._origin = ResponseOrigin.TURN
        self._owed: list[S2sEvent] = []
        self._unwanted: int | None = None
        """While what still comes of an interrupted response is dropped: samples of silence."""

    def expect(self, origin: ResponseOrigin) -> None:
        """The next response was asked for."""
        self._origin = origin

    def owed(self) -> list[S2sEvent]:
        """What could not be told yet."""
        owed, self._owed = self._owed, []
        return owed

    def sound(self, sound: bytes) -> list[S2sEvent]:
        """The next stretch of the track."""
        events: list[S2sEvent] = []
        sound = sound[: len(sound) - len(sound) % self._block]
        size = to_samples(PIECE_MS, self._rate) * self._block
        for start in range(0, len(sound), size):
            self._piece(sound[start : start + size], events)
        return events

    def _piece(self, sound: bytes, events: list[S2sEvent]) -> None:
        samples = len(sound) // self._block
        looks = max(samples // to_samples(LOOK_MS, self._rate), 1)
        voiced = [
            place
            for place, level in enumerate(peaks(self._decode(sound), looks))
            if level > VOICED_PEAK
        ]
        # As `peaks` divides it: where the first voice begins, and the last one ends.
        begin = voiced[0] * samples // looks if voiced else samples
        end = (voiced[-1] + 1) * samples // looks if voiced else 0
        if self._unwanted is not None:
            self._unwanted = samples - end + (0 if voiced else self._unwanted)
            if self._unwanted >= to_samples(GAP_MS, self._rate):
                self._unwanted = None
            return
        reply = self._reply
        if reply is None and not voiced:
            return
        if reply is None:
            reply = self._start(events)
        if voiced:
            if not reply.is_voiced:
                sound = sound[begin * self._block :]
                reply.is_voiced = True
            reply.silent = 0
        reply.silent += samples - end
        if reply.is_voiced:
            reply.samples += len(sound) // self._block
            events.append(ResponseAudio(response_id=reply.id, pcm=sound))
        limit_ms = GAP_MS if reply.is_voiced else WORDS_FIRST_MS
        if reply.silent >= to_samples(limit_ms, self._rate):
            events += self.finish(ResponseStatus.COMPLETED)

    def words(
        self,
        delta: str,
        start_ms: float | None,
        end_ms: float | None,
        *,
        person_ms: float | None = None,
    ) -> list[S2sEvent]:
        """Words that are spoken then; they come before their sound, or after it.

        `person_ms` is when the person's last words ended.
        """
        events: list[S2sEvent] = []
        if self._unwanted is not None or not delta:
            return events
        if self._reply is not None and _is_other(self._reply, start_ms, person_ms):
            events += self.finish(ResponseStatus.COMPLETED)
        reply = self._reply
        if reply is None and self._is_late(start_ms):
            reply = self._before
        elif reply is None:
            reply = self._start(events)
        assert reply is not None
        if reply.is_cut:
            return events
        if reply.began_ms is None:
            reply.began_ms = start_ms
        reply.silent = 0
        start, end = self._place(reply, start_ms), self._place(reply, end_ms)
        if start is None or end is None or end < start:
            start = end = None
        text = f" {delta}" if _is_apart(reply, delta, start_ms) else delta
        reply.last = delta[-1]
        reply.last_ms = None if start_ms is None or end_ms is None else (start_ms, end_ms)
        events.append(ResponseText(response_id=reply.id, delta=text, start=start, end=end))
        return events

    def interrupt(self, response_id: ResponseId) -> bool:
        """Drop what is still coming of that response; whether there is anything to drop."""
        if self._reply is None or self._reply.id != response_id:
            return False
        self._reply.is_cut = True
        self._owed += self.finish(ResponseStatus.CANCELLED, reason="interrupted")
        self._unwanted = 0
        return True

    def finish(self, status: ResponseStatus, *, reason: str = "") -> list[S2sEvent]:
        """Nothing more of the response that is open."""
        if self._reply is None:
            return []
        reply, self._reply = self._reply, None
        self._before = reply
        return [ResponseDone(response_id=reply.id, status=status, reason=reason)]

    def _start(self, events: list[S2sEvent]) -> _Reply:
        self._numbers += 1
        reply = _Reply(ResponseId(f"{self._prefix}r{self._numbers}"))
        origin, self._origin = self._origin, ResponseOrigin.TURN
        events.append(ResponseStarted(response_id=reply.id, origin=origin))
        self._reply = reply
        return reply

    def _is_late(self, start_ms: float | None) -> bool:
        """Whether words belong to the response before, which is over."""
        before = self._before
        if before is None or before.began_ms is None or start_ms is None:
            return False
        sounded = to_milliseconds(before.samples - before.silent, self._rate)
        return start_ms < before.began_ms + sounded

    def _place(self, reply: _Reply, at_ms: float | None) -> int | None:
        """A time of the service as a sample of a response."""
        if at_ms is None or reply.began_ms is None:
            return None
        return max(to_samples(at_ms - reply.began_ms, self._rate), 0)


def _is_other(reply: _Reply, start_ms: float | None, person_ms: float | None) -> bool:
    """Whether words that begin then are of another response: the person spoke into this one."""
    if reply.last_ms is None or start_ms is None or person_ms is None:
        return False
    began, ended = reply.last_ms
    return person_ms >= began and start_ms - ended >= PAUSE_MS


def _is_apart(reply: _Reply, delta: str, start_ms: float | None) -> bool:
    """Whether a space is missing: words bring their own, but not always where a sentence begins."""
    if reply.last in ("", " ") or not delta[0].isalnum():
        return False
    if reply.last in ".!?" and delta[0].isupper():
        return True
    return (
        reply.last_ms is not None
        and start_ms is not None
        and start_ms - reply.last_ms[1] >= PAUSE_MS
    )
