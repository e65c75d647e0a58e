"""Cartesia Ink with turns, as a codec: the service says by itself when somebody has spoken.

How it works. The service cuts the sound into turns, and has no order that ends one. What we call an
utterance is ended by us, and holds any number of its turns. So when an utterance ends, silence is
fed, longer than the service's own timeout; the turn that is open ends then, and its text is the
last of the utterance. If nobody has spoken since the last turn, there is nothing to wait for.

Until then the utterance is an *ending*, and what comes belongs to the oldest ending: the sound is
heard in its order. An ending that is not answered in time is settled with what is known, and the
rest of its turn is not told. If even that turn does not end, the service is broken. A dropped
utterance is an ending that nobody is told about.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from beluga_voice.events import (
    DropUtterance,
    EndOfTurnLikely,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    SttCommand,
    SttEvent,
    Transcript,
    TurnContinued,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.cartesia.owing import Tick
from beluga_voice.providers.cartesia.service import failed
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.cartesia import _wire as wire
from beluga_voice.providers.stt.cartesia._capabilities import SILENCE_AFTER_TIMEOUT_MS
from beluga_voice.providers.stt.cartesia._options import Settings, primary
from beluga_voice.providers.stt.cartesia._sound import PIECE_MS, SentSound

SURE_SECONDS = 0.15
"""Voice sent so shortly before a turn's end was told may not be heard yet."""
LATE_SECONDS = 0.5
"""A turn that starts so long after the end of an utterance is of the next one, if that sounds."""


@dataclass(slots=True)
class _Ending:
    """An utterance whose last words are awaited; without an id it was dropped."""

    utterance_id: UtteranceId | None
    kept: list[str]
    """The turns of it that are over."""
    at: float
    deadline: float | None
    """`None` if nothing of it is awaited but that those before it are answered."""


class TurnsCodec:
    """One connection. `now` is the loop's clock."""

    def __init__(
        self,
        options: SttOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._wants_interim = options.wants_interim
        self._language = primary(options.language or "en")
        self._now = now
        source = input_format_of(capabilities, options.input_format)
        self._sound = SentSound(source, now())
        self._owed: list[SttEvent] = []
        self._endings: deque[_Ending] = deque()
        self._kept: list[str] = []
        self._text = ""
        """Of the turn that is open."""
        self._is_open = False
        self._is_told = False
        """Whether the present turn's start was told."""
        self._is_eager = False
        self._overdue_at: float | None = None
        """When the service is given up, because a turn that was settled for it does not end."""
        self._ended_at = now()
        """When the last turn of the present utterance was told to be over."""
        self._is_over = False

    # ── to the service ──────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration is in the address."""
        return []

    def encode(self, command: SttCommand | Tick, /) -> list[WireMessage]:
        """Messages for a command."""
        match command:
            case SendAudio():
                return self._hear(command.pcm)
            case FinishUtterance():
                return self._end(command.utterance_id)
            case DropUtterance():
                return self._end(None)
            case Tick():
                return self._wake()
            case _:
                assert_never(command)

    def owed(self) -> list[SttEvent]:
        """Events that no message brought."""
        owed, self._owed = self._owed, []
        return owed

    @property
    def deadline(self) -> float | None:
        """The next moment at which silence is due, or an answer overdue."""
        if self._is_over:
            return None
        moments = [self._sound.sent_at + self._settings.keepalive_seconds]
        if self._endings and (first := self._endings[0].deadline) is not None:
            moments.append(first)
        if self._overdue_at is not None:
            moments.append(self._overdue_at)
        return min(moments)

    def _hear(self, pcm: bytes) -> list[WireMessage]:
        if not (pcm := self._sound.whole(pcm)):
            return []
        self._sound.take(pcm, self._now())
        quiet = self._settings.quiet_seconds
        if self._sound.unanswered_seconds >= quiet:
            self._give_up(f"there was voice for {quiet:g} s, and the service said nothing")
        return [pcm]

    def _end(self, utterance_id: UtteranceId | None) -> list[WireMessage]:
        now = self._now()
        waits = self._sound.has_begun and self._may_hold_more()
        ending = _Ending(
            utterance_id,
            # The turns that are over belong to the first who waits for the rest.
            self._kept,
            now,
            now + self._settings.finish_seconds if waits else None,
        )
        self._kept = []
        self._sound.next_utterance()
        self._endings.append(ending)
        self._settle_ready()
        if not waits:
            return []
        thresholds = self._settings.thresholds
        return [*self._sound.silence(thresholds.end_timeout_ms + SILENCE_AFTER_TIMEOUT_MS, now)]

    def _may_hold_more(self) -> bool:
        """Whether words of the present utterance may still come."""
        is_ours = not self._endings and self._overdue_at is None
        if is_ours and self._is_open:
            return True
        voice_at = self._sound.voice_at
        return voice_at is not None and voice_at > self._ended_at - SURE_SECONDS

    def _wake(self) -> list[WireMessage]:
        now = self._now()
        if self._overdue_at is not None and now >= self._overdue_at:
            self._give_up("a turn does not end, though there is silence")
            return []
        while self._endings:
            deadline = self._endings[0].deadline
            if deadline is None or now < deadline:
                break
            self._settle_with_what_is_known()
        if now >= self._sound.sent_at + self._settings.keepalive_seconds:
            return [*self._sound.silence(PIECE_MS, now)]
        return []

    # ── endings ─────────────────────────────────────────────────────────────────────────────

    def _settle_with_what_is_known(self) -> None:
        """The oldest ending had its time."""
        known = ""
        if self._is_open and self._overdue_at is None:
            known = self._text
            self._overdue_at = self._endings[0].at + self._settings.quiet_seconds
        self._owed += self._settle(known)

    def _settle(self, last: str) -> list[SttEvent]:
        """Answer the oldest ending, and those behind it that wait for nothing else."""
        ending = self._endings.popleft()
        answers: list[SttEvent] = []
        if ending.utterance_id is not None:
            text = "".join([*ending.kept, last]).strip()
            answers.append(
                Transcript(
                    text=text,
                    is_final=True,
                    utterance_id=ending.utterance_id,
                    language=self._language,
                )
            )
        if self._endings and self._endings[0].deadline is None:
            answers += self._settle("")
        return answers

    def _settle_ready(self) -> None:
        if self._endings[0].deadline is None:
            self._owed += self._settle("")

    def _give_up(self, message: str) -> None:
        if not self._is_over:
            self._is_over = True
            message = f"{message}; {ELSEWHERE}"
            self._owed.append(
                ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True)
            )

    # ── from the service ────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """Events for a message; raises `BrokenProtocol`."""
        read = wire.read_turns(message)
        self._sound.unanswered_seconds = 0.0
        match read:
            case wire.Connected():
                return [LinkReady(remote_id=read.request_id or None, model=self._settings.model)]
            case wire.TurnStart():
                return self._start()
            case wire.TurnUpdate(transcript=text):
                return [*self._opened(), *self._update(text)]
            case wire.TurnEagerEnd(transcript=text):
                return [*self._opened(), *self._update(text), *self._eager_end()]
            case wire.TurnResume():
                return self._resume()
            case wire.TurnEnd(transcript=text):
                return self._turn_ended(text)
            case wire.Error():
                return [failed(read, is_fatal=True)]
            case None:
                return []
            case _:
                assert_never(read)

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """The end. An utterance that waits is not answered: its sound is not heard to the end."""
        self._is_over = True
        return [LinkClosed(is_clean=is_clean, code=code, reason=reason)]

    def _opened(self) -> list[SttEvent]:
        """Words of a turn come: it has started, whether this was told or not."""
        return [] if self._is_open else self._start()

    def _start(self) -> list[SttEvent]:
        events: list[SttEvent] = []
        if self._is_open:
            # The end of the one before was lost.
            events += self._turn_ended(self._text)
        self._is_open, self._text = True, ""
        while self._endings and self._is_of_the_next(self._endings[0]):
            events += self._settle("")
        if not self._endings:
            self._is_told = True
            events.append(SpeechStarted())
        return events

    def _is_of_the_next(self, ending: _Ending) -> bool:
        """Whether the turn that starts now is of a later utterance than that one."""
        has_voice = self._sound.voice_at is not None or len(self._endings) > 1
        return has_voice and self._now() - ending.at > LATE_SECONDS

    def _is_silenced(self) -> bool:
        """Whether what the present turn says is not for telling now."""
        return bool(self._endings) or self._overdue_at is not None

    def _update(self, text: str) -> list[SttEvent]:
        self._text = text
        if self._is_silenced() or not self._wants_interim:
            return []
        whole = "".join([*self._kept, text]).strip()
        return [Transcript(text=whole, is_final=False, language=self._language)]

    def _eager_end(self) -> list[SttEvent]:
        if self._is_silenced():
            return []
        self._is_eager = True
        sureness = round(1 - self._settings.thresholds.eager_end, 3)
        return [EndOfTurnLikely(probability=sureness, is_eager=True)]

    def _resume(self) -> list[SttEvent]:
        if not self._is_eager:
            return []
        self._is_eager = False
        return [TurnContinued()]

    def _turn_ended(self, text: str) -> list[SttEvent]:
        if not self._is_open:
            return []  # told twice
        self._is_open = self._is_eager = False
        self._text = ""
        events: list[SttEvent] = [SpeechStopped()] if self._is_told else []
        self._is_told = False
        if self._overdue_at is not None:
            self._overdue_at = None
            return events
        if self._endings:
            return [*events, *self._settle(text)]
        self._ended_at = self._now()
        self._kept.append(text)
        if self._wants_interim:
            whole = "".join(self._kept).strip()
            events.append(Transcript(text=whole, is_final=False, language=self._language))
        return [*events, EndOfTurnLikely(probability=1.0)]
