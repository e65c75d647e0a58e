"""The second version of Deepgram's protocol, for Flux models, pure.

The service finds turns, and tells all the words of a turn each time. Its clock is the sound: it
says how far it is every quarter of a second of it. To end an utterance it is given silence, by
which it gets past its end, and then told to end the turn if one is open; before, it would leave
words out that it has not heard yet. An order to end a turn when none is open is ignored, so none is
given. Silence goes on until the answer is there or the deadline is. What is said meanwhile is held
back, so that no turn has words of two utterances.

An utterance may hold several turns, as the service ends them by itself.
"""

from collections.abc import Callable

from beluga_voice.audio.formats import to_samples
from beluga_voice.events import (
    EndOfTurnLikely,
    ErrorCategory,
    LinkReady,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    SttEvent,
    TurnContinued,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage
from beluga_voice.providers.deepgram.failures import category_of
from beluga_voice.providers.deepgram.timed import is_due, read
from beluga_voice.providers.stt.deepgram import _wire as wire
from beluga_voice.providers.stt.deepgram._capabilities import (
    KEEPALIVE_SECONDS,
    NAME,
    PADDING_MS,
    SILENT_BYTES,
    STEP_MS,
)
from beluga_voice.providers.stt.deepgram._listening import ListeningCodec, OwnSilence
from beluga_voice.providers.stt.deepgram._options import Settings
from beluga_voice.providers.stt.deepgram._utterances import Piece, Utterance

PAUSE_SECONDS = 0.2
"""How long no sound may pass before silence does, while an answer is awaited."""
MAX_HELD_SECONDS = 30


class FluxCodec(ListeningCodec):
    """See `ListeningCodec`."""

    _turn: int | None = None
    """The turn that is open."""
    _owner: Utterance | None = None
    """Whose words it has."""
    _next_turn = 0
    _is_ending = False
    """The service was told to end the turn."""

    def __init__(
        self,
        options: SttOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
    ) -> None:
        super().__init__(options, settings, capabilities, now=now)
        self._held: list[bytes] = []
        """Sound of the next utterance, and where it ends."""

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def _silence(self, milliseconds: float) -> bytes:
        samples = to_samples(milliseconds, self._format.rate)
        byte = SILENT_BYTES.get(self._format.encoding, b"\0")
        return byte * (samples * self._format.block_bytes)

    def _is_mark(self, message: WireMessage) -> bool:
        return isinstance(message, _Padding)

    def _end_of_sound(self) -> list[WireMessage]:
        padding = _Padding(self._silence(PADDING_MS))
        # The utterance that ends here is one of those that are unanswered.
        is_next = self._utterances.unanswered is self._utterances.ended[-1]
        return [padding] if is_next else self._hold(padding)

    def _sound(self, sound: bytes) -> list[WireMessage]:
        return [sound] if self._utterances.unanswered is None else self._hold(sound)

    def _hold(self, message: bytes) -> list[WireMessage]:
        self._held.append(message)
        most = MAX_HELD_SECONDS * self._format.rate * self._format.block_bytes
        if sum(len(one) for one in self._held) > most:
            self._tell(*self._gone("the service does not get to the end of an utterance"))
        return []

    def _release(self) -> None:
        """Send what was held, up to the end of one utterance, if no other is unanswered."""
        marks = [at for at, one in enumerate(self._held) if self._is_mark(one)]
        if not self._held or self._utterances.unanswered_count > len(marks):
            return
        count = marks[0] if marks else len(self._held)
        if sound := b"".join(self._held[:count]):
            self._replies.append(sound)
        self._replies += self._held[count : count + 1]
        del self._held[: count + 1]

    def _keep_alive(self, now: float) -> None:
        # There is no order for it: silence is what the service asks for.
        pause = KEEPALIVE_SECONDS if self._utterances.waiting is None else PAUSE_SECONDS
        if is_due(self._sent_at + pause, now):
            self._replies.append(OwnSilence(self._silence(STEP_MS)))
            self._sent_at = now
        self.alarm.by(self._sent_at + pause)

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """See `ListeningCodec`."""
        events = super().decode(message)
        self._release()
        return events

    def _read(self, message: str) -> list[SttEvent]:
        heard = read(message, wire.FLUX, NAME)
        match heard:
            case wire.Connected():
                remote_id = heard.request_id or None
                return [LinkReady(remote_id=remote_id, model=self._settings.model)]
            case wire.TurnInfo():
                return self._turn_info(heard)
            case wire.Warned():
                return [_failure(heard.code, ErrorCategory.BENIGN, is_fatal=False)]
            case wire.Error():
                code = heard.code or ""
                return [_failure(code, category_of(code), is_fatal=True)]
            case None:
                return []

    def _turn_info(self, heard: wire.TurnInfo) -> list[SttEvent]:
        if heard.turn_index < self._next_turn:
            return []  # it is over, and was told
        end = self._samples(heard.audio_window_end)
        if self._turn is None and (heard.event == "StartOfTurn" or heard.transcript):
            self._turn = heard.turn_index
            self._owner = self._utterances.unanswered or self._utterances.present
        owner = self._owner
        if owner is not None:
            self._put(heard, owner, end)
        events = self._interims()
        if owner is self._utterances.present:
            said = _said(heard)
            events = [*said, *events] if heard.event == "StartOfTurn" else [*events, *said]
        if heard.event == "EndOfTurn":
            self._turn, self._owner, self._is_ending = None, None, False
            self._next_turn = heard.turn_index + 1
        self._end_utterance(end)
        return events

    def _put(self, heard: wire.TurnInfo, owner: Utterance, end: int) -> None:
        """The words of a turn to the utterance it is of."""
        words = self._timed(heard.words)
        sure = [word.confidence for word in heard.words if word.confidence is not None]
        piece = Piece(
            start=heard.turn_index,
            text=heard.transcript.strip(),
            words=words,
            confidence=sum(sure) / len(sure) if sure else None,
            language=heard.languages[0] if heard.languages else None,
        )
        if heard.event == "EndOfTurn":
            owner.settled[heard.turn_index] = piece
            owner.settled_to = max(owner.settled_to, end)
            owner.interim = None
        else:
            owner.interim = piece if piece.text else None

    def _end_utterance(self, end: int) -> None:
        """Is an utterance over whose end was told, or has its turn to be ended?"""
        waiting = self._utterances.waiting
        if waiting is None:
            return
        waiting.heard_to = max(waiting.heard_to, end)
        if end < self._end_of(waiting):
            return
        if self._turn is None:
            waiting.is_complete = True
        elif not self._is_ending:
            self._is_ending = True
            self._replies.append(wire.FORCE_END_TURN)


class _Padding(OwnSilence):
    """The silence that marks the end of an utterance."""


def _said(heard: wire.TurnInfo) -> list[SttEvent]:
    """What an event says beyond the words."""
    probability = min(max(heard.end_of_turn_confidence, 0.0), 1.0)
    match heard.event:
        case "StartOfTurn":
            return [SpeechStarted()]
        case "EagerEndOfTurn":
            return [EndOfTurnLikely(probability=probability, is_eager=True)]
        case "TurnResumed":
            return [TurnContinued()]
        case "EndOfTurn":
            return [SpeechStopped(), EndOfTurnLikely(probability=probability)]
        case _:
            return []


def _failure(code: str, category: ErrorCategory, *, is_fatal: bool) -> ServiceFailed:
    return ServiceFailed(
        category=category,
        message=f"the service reported {code or 'an error'}",
        is_fatal=is_fatal,
        provider_code=code or None,
    )
