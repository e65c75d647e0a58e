"""Cartesia Ink without turns, as a codec: the service transcribes when it is told to.

How it works. Text comes in pieces, to be put together as they are. `finalize` is answered by
`flush_done`, and what comes before that answer is of the sound before that order. So each end of an
utterance, and each dropping of one, sends a `finalize`, and the answers come in their order. One
more is sent where the service says nothing to much voice, to see whether it is there: it changes
nothing of what is heard, and its answer is owed as well.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.cartesia.owing import Tick
from beluga_voice.providers.cartesia.service import failed
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.cartesia import _wire as wire
from beluga_voice.providers.stt.cartesia._options import Settings
from beluga_voice.providers.stt.cartesia._sound import PIECE_MS, SentSound


@dataclass(slots=True)
class _Heard:
    """What came of one utterance so far."""

    final: list[str] = field(default_factory=list[str])
    tail: str = ""
    """What is not final yet."""
    words: list[tuple[str, float, float]] = field(default_factory=list[tuple[str, float, float]])
    last: wire.Text | None = None
    language: str | None = None

    def take(self, told: wire.Text) -> bool:
        """Take a piece; whether it says anything that was not known."""
        self.language = told.language or self.language
        if not told.is_final:
            self.tail = told.text
            return True
        if told.words and told == self.last:
            return False  # words at the very same places: told twice
        self.last, self.tail = told, ""
        self.final.append(told.text)
        self.words += [word for words in told.words or () for word in words.each()]
        return True

    @property
    def text(self) -> str:
        """All of it."""
        return "".join([*self.final, self.tail]).strip()


@dataclass(frozen=True, slots=True)
class _Ending:
    """An utterance whose last words are awaited; without an id it was dropped."""

    utterance_id: UtteranceId | None
    begins: int
    deadline: float | None
    """`None` if there was no sound in it, and nothing is awaited."""
    is_probe: bool = False
    """Nothing ends here: the service was asked for a sign of life."""


class ManualCodec:
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
        self._language = options.language
        self._now = now
        source = input_format_of(capabilities, options.input_format)
        self._sound = SentSound(source, now())
        # There is no message that says so: a connection that is open is ready.
        self._owed: list[SttEvent] = [LinkReady(model=settings.model)]
        self._endings: deque[_Ending] = deque()
        self._heard = _Heard()
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
        idle = self._sound.sent_at + self._settings.keepalive_seconds
        first = self._endings[0].deadline if self._endings else None
        return idle if first is None else min(idle, first)

    def _hear(self, pcm: bytes) -> list[WireMessage]:
        if not (pcm := self._sound.whole(pcm)):
            return []
        self._sound.take(pcm, self._now())
        quiet = self._settings.quiet_seconds
        if self._endings or self._sound.unanswered_seconds < quiet:
            return [pcm]
        probe = _Ending(None, self._sound.begins, self._now() + quiet, is_probe=True)
        self._endings.append(probe)
        return [pcm, wire.FINALIZE]

    def _end(self, utterance_id: UtteranceId | None) -> list[WireMessage]:
        waits = self._sound.has_begun
        deadline = self._now() + self._settings.quiet_seconds if waits else None
        self._endings.append(_Ending(utterance_id, self._sound.begins, deadline))
        self._sound.next_utterance()
        self._owed += self._settle_silent()
        return [wire.FINALIZE] if waits else []

    def _wake(self) -> list[WireMessage]:
        now = self._now()
        first = self._endings[0].deadline if self._endings else None
        if first is not None and now >= first:
            self._is_over = True
            waited = f"{self._settings.quiet_seconds:g} s"
            message = f"finalize was not answered within {waited}; {ELSEWHERE}"
            self._owed.append(
                ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True)
            )
            return []
        if now >= self._sound.sent_at + self._settings.keepalive_seconds:
            return [*self._sound.silence(PIECE_MS, now)]
        return []

    # ── from the service ────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """Events for a message; raises `BrokenProtocol`."""
        read = wire.read_manual(message)
        self._sound.unanswered_seconds = 0.0
        match read:
            case wire.Text():
                return self._take(read)
            case wire.FlushDone():
                return self._settle() if self._endings else []
            case wire.Error():
                return [failed(read, is_fatal=True)]
            case wire.Done() | None:
                return []
            case _:
                assert_never(read)

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """The end. An utterance that waits is not answered: its sound is not heard to the end."""
        self._is_over = True
        return [LinkClosed(is_clean=is_clean, code=code, reason=reason)]

    def _take(self, told: wire.Text) -> list[SttEvent]:
        is_news = self._heard.take(told)
        is_older = any(not ending.is_probe for ending in self._endings)
        if is_older or not self._wants_interim or not is_news:
            return []
        return [self._transcript(self._sound.begins, None)]

    def _settle(self) -> list[SttEvent]:
        """Answer the oldest ending, and those behind it in which there was no sound."""
        ending = self._endings.popleft()
        if ending.is_probe:
            return self._settle_silent()
        answers: list[SttEvent] = []
        if ending.utterance_id is not None:
            answers.append(self._transcript(ending.begins, ending.utterance_id))
        self._heard = _Heard()
        return answers + self._settle_silent()

    def _settle_silent(self) -> list[SttEvent]:
        if self._endings and self._endings[0].deadline is None:
            return self._settle()
        return []

    def _transcript(self, begins: int, utterance_id: UtteranceId | None) -> Transcript:
        heard = self._heard
        return Transcript(
            text=heard.text,
            is_final=utterance_id is not None,
            utterance_id=utterance_id,
            words=tuple(self._timed(*word, begins) for word in heard.words),
            language=heard.language or self._language,
        )

    def _timed(self, word: str, start: float, end: float, begins: int) -> TimedWord:
        """A word in samples of its utterance; the service counts seconds of the connection."""
        rate = self._sound.rate
        first = max(round(start * rate) - begins, 0)
        last = max(round(end * rate) - begins, first)
        return TimedWord(text=word.strip(), start=first, end=last)
