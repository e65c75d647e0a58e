"""The first version of Deepgram's protocol, for Nova models, pure.

The service speaks of one window of the sound after the other. What is not final of a window is
replaced; what is final is appended. It may finalise at any pause, in the middle of an utterance:
that stays at the front of what follows. `Finalize` makes it settle all the sound before it, and may
remain without an answer if there is nothing to settle.

`speech_final` and `UtteranceEnd` say that a turn is over, by pauses in the sound and in the words;
of one turn only the first is told. The service gives no probability with it: it is told as 1.
"""

from dataclasses import replace

from beluga_voice.events import (
    EndOfTurnLikely,
    ErrorCategory,
    LinkReady,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    SttEvent,
    TimedWord,
)
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.deepgram.timed import is_due, read
from beluga_voice.providers.stt.deepgram import _wire as wire
from beluga_voice.providers.stt.deepgram._capabilities import KEEPALIVE_SECONDS, NAME
from beluga_voice.providers.stt.deepgram._listening import ListeningCodec
from beluga_voice.providers.stt.deepgram._utterances import Piece, Utterance


class NovaCodec(ListeningCodec):
    """See `ListeningCodec`."""

    _is_ready = False
    _has_turn = False
    """Words came since a turn was last said to be over."""

    def _end_of_sound(self) -> list[WireMessage]:
        return [wire.FINALIZE]

    def _is_mark(self, message: WireMessage) -> bool:
        return message is wire.FINALIZE

    def _keep_alive(self, now: float) -> None:
        if is_due(self._sent_at + KEEPALIVE_SECONDS, now):
            self._replies.append(wire.KEEP_ALIVE)
            self._sent_at = now
        self.alarm.by(self._sent_at + KEEPALIVE_SECONDS)

    def _woken(self, now: float) -> list[SttEvent]:
        events = super()._woken(now)
        if not self._is_ready:
            # The protocol has no greeting: a connection that is open is one that listens.
            self._is_ready = True
            events.insert(0, LinkReady(model=self._settings.model))
        return events

    def _read(self, message: str) -> list[SttEvent]:
        heard = read(message, wire.NOVA, NAME)
        match heard:
            case wire.Results():
                return self._results(heard)
            case wire.SpeechStarted():
                is_present = self._is_present(self._samples(heard.timestamp))
                return [SpeechStarted()] if is_present else []
            case wire.UtteranceEnd():
                return self._turn_over()
            case wire.Error():
                return [
                    ServiceFailed(
                        category=ErrorCategory.INVALID_REQUEST,
                        message=f"the service reported {heard.variant}",
                        provider_code=heard.code or heard.variant or None,
                    )
                ]
            case None:
                return []

    def _is_present(self, position: int) -> bool:
        return self._utterances.at(position) is self._utterances.present

    def _results(self, heard: wire.Results) -> list[SttEvent]:
        start, end = self._samples(heard.start), self._samples(heard.start + heard.duration)
        best = heard.channel.alternatives[0] if heard.channel.alternatives else None
        place = max((start + end) // 2 - self._slack, 0)
        owner = self._utterances.at(place)
        whole = Piece(
            start=start,
            text=best.transcript.strip() if best is not None else "",
            confidence=best.confidence if best is not None else None,
            language=best.languages[0] if best is not None and best.languages else None,
            others=tuple(one.transcript.strip() for one in heard.channel.alternatives[1:]),
        )
        words = best.words if best is not None else []
        for one, piece in self._shares(self._timed(words), whole, owner):
            if one is None:
                continue
            one.heard_to = max(one.heard_to, end)
            if (start, end) in one.settled:
                continue  # it comes a second time
            if heard.is_final:
                one.settled[start, end] = piece
                one.settled_to = max(one.settled_to, end)
                one.interim = None
            elif start >= one.settled_to - self._slack:
                one.interim = piece
        self._complete(heard, start, end)
        events = self._interims()
        if owner is self._utterances.present:
            self._has_turn = self._has_turn or bool(whole.text)
            if heard.speech_final:
                events += [SpeechStopped(), *self._turn_over()]
        return events

    def _shares(
        self, words: tuple[TimedWord, ...], whole: Piece, otherwise: Utterance | None
    ) -> list[tuple[Utterance | None, Piece]]:
        """A piece for each utterance that has words in this window."""
        owners = [self._utterances.at((one.start + one.end) // 2) for one in words]
        kinds = list(dict.fromkeys(owners))
        if len(kinds) < 2:
            return [(kinds[0] if kinds else otherwise, replace(whole, words=words))]
        shares: list[tuple[Utterance | None, Piece]] = []
        for owner in kinds:
            own = tuple(one for one, of in zip(words, owners, strict=True) if of is owner)
            text = " ".join(one.text for one in own)
            # Nobody knows whose words those of its other readings are.
            share = replace(whole, start=own[0].start, text=text, words=own, others=())
            shares.append((owner, share))
        return shares

    def _turn_over(self) -> list[SttEvent]:
        if not self._has_turn or not self._utterances.present.text:
            return []
        self._has_turn = False
        return [EndOfTurnLikely(probability=1.0)]

    def _complete(self, heard: wire.Results, start: int, end: int) -> None:
        """Which utterances have all their words now."""
        for one in self._utterances.ended:
            if one.end is None:
                break
            last = self._end_of(one)
            is_past = start >= last and not heard.from_finalize
            is_settled = bool(heard.is_final) and end >= last
            # What was heard may end a little before what was sent.
            is_of_it = (one.start or 0) + self._slack < end and end >= last - self._tail
            is_answer = bool(heard.from_finalize) and is_of_it
            one.is_complete = one.is_complete or is_past or is_settled or is_answer
