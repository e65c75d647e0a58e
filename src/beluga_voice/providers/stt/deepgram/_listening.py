"""What both of Deepgram's protocols for listening have in common, pure.

`FinishUtterance` is answered when the service has told all the words up to there, and otherwise by
a deadline: when it gets no further with it for `finalize_seconds`. Then what is known is the answer
if the service has spoken of nearly all the sound. If its words are not final even then, they are
given as such, and the connection is ended: it would never finalise. If it is far behind, it has
gone quiet, and the connection is ended without an answer, so that the sound can go to another one.
Where all is final but the last `TAIL_MS`, it may have nothing to answer, and `TAIL_SECONDS` do.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import assert_never

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16, to_samples
from beluga_voice.audio.level import rms
from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    SendAudio,
    ServiceFailed,
    SttCommand,
    SttEvent,
    TimedWord,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.deepgram.failures import failure_of_close
from beluga_voice.providers.deepgram.timed import TimedCodec, is_due
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.deepgram._capabilities import NAME
from beluga_voice.providers.stt.deepgram._options import Settings, query_of
from beluga_voice.providers.stt.deepgram._utterances import Utterance, Utterances
from beluga_voice.providers.stt.deepgram._wire import Word
from beluga_voice.providers.tick import TICK

LOUD = 0.003
"""Sound above this fraction of full scale (-50 dB) is no silence."""
SLACK_MS = 20
"""Times on the wire are rounded."""
BEHIND_MS = 1500
"""How much sound may be without a word of the service when an utterance is settled."""
TAIL_MS = 600
TAIL_SECONDS = 0.3


class OwnSilence(bytes):
    """Silence that nobody sent us."""


class ListeningCodec(TimedCodec[SttEvent]):
    """One connection's state; `now` is a clock in seconds."""

    def __init__(
        self,
        options: SttOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
    ) -> None:
        super().__init__(now)
        self.query = query_of(options, settings, capabilities)
        self._options = options
        self._settings = settings
        self._format = input_format_of(capabilities, options.input_format)
        self._slack = to_samples(SLACK_MS, self._format.rate)
        self._behind = to_samples(BEHIND_MS, self._format.rate)
        self._tail = to_samples(TAIL_MS, self._format.rate)
        self._utterances = Utterances()
        self._half = b""
        self._interim = ""
        self._sent_at = self._heard_at = now()
        self._unheard_since: float | None = None
        self._unheard = 0
        self._is_failed = False

    # ── what a protocol is ──────────────────────────────────────────────────────────────────

    @abstractmethod
    def _end_of_sound(self) -> list[WireMessage]:
        """What tells the service that an utterance ends, now or later."""

    @abstractmethod
    def _is_mark(self, message: WireMessage) -> bool: ...

    @abstractmethod
    def _read(self, message: str) -> list[SttEvent]: ...

    @abstractmethod
    def _keep_alive(self, now: float) -> None:
        """Reply what keeps the connection open, if it is time, and set the alarm."""

    # ── what we say ─────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """Everything is in the address."""
        self.alarm.by(self._now())
        return []

    def encode(self, command: SttCommand, /) -> list[WireMessage]:
        """Sound as it is; an end as the protocol has it. Empty sound is never sent."""
        match command:
            case SendAudio():
                sound = self._half + command.pcm
                whole = len(sound) - len(sound) % self._format.block_bytes
                self._half = sound[whole:]
                if not whole:
                    return []
                self._utterances.present.has_sound = True
                return self._sound(sound[:whole])
            case FinishUtterance():
                over = self._utterances.end(command.utterance_id)
            case DropUtterance():
                over = self._utterances.end(None)
            case _:
                assert_never(command)
        self._half, self._interim = b"", ""
        self.alarm.by(self._now())
        return self._end_of_sound() if over.has_sound else []

    def _sound(self, sound: bytes) -> list[WireMessage]:
        """Sound of the present utterance, now or later."""
        return [sound]

    def passed(self, message: WireMessage, /) -> None:
        """See `TimedCodec`."""
        now = self._sent_at = self._now()
        if self._is_mark(message) and (over := self._utterances.end_passed()) is not None:
            # The service may have said everything before it was asked.
            over.is_complete = over.is_settled and over.settled_to >= self._end_of(over)
            if self._utterances.waiting in (None, over):
                self._heard_at = now
            self.alarm.by(now if over.is_complete else now + self._patience(over))
        if isinstance(message, bytes):
            samples = len(message) // self._format.block_bytes
            if isinstance(message, OwnSilence):
                self._utterances.silence_passed(samples)
            else:
                self._utterances.sound_passed(samples, is_loud=self._is_loud(message))
            self._unheard += samples
            if self._unheard_since is None:
                self._unheard_since = now
                self.alarm.by(now + self._settings.quiet_seconds)

    def _is_loud(self, sound: bytes) -> bool:
        return rms(convert(sound, self._format, pcm16(self._format.rate))) > LOUD

    # ── what the service says ───────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """The events of a message; raises `BrokenProtocol` for what is none of the protocol."""
        now = self._now()
        if message is TICK:
            self.alarm.rang()
            events = self._woken(now)
        elif isinstance(message, bytes):
            raise BrokenProtocol("sound from a service that listens", op="decode", provider=NAME)
        else:
            before = self._progress()
            events = self._read(message)
            self._unheard_since, self._unheard = None, 0
            if before is None or self._progress() != before:
                self._heard_at = now
        events = [*events, *self._finals()]
        self._set_alarm(now)
        return events

    def _woken(self, now: float) -> list[SttEvent]:
        events = self._take_told()
        waiting = self._utterances.waiting
        if waiting is not None and is_due(self._heard_at + self._patience(waiting), now):
            events += self._settle(waiting)
        since = self._unheard_since
        if since is not None and is_due(since + self._settings.quiet_seconds, now):
            flowing = self._settings.quiet_seconds * self._format.rate / 2
            if self._unheard >= flowing:
                events += self._gone("the service says nothing to the sound it is sent")
        self._keep_alive(now)
        return events

    def _progress(self) -> object:
        """How far the service is with what it owes: to speak of later sound is no progress."""
        waiting = self._utterances.waiting
        if waiting is None:
            return None
        return id(waiting), min(waiting.heard_to, waiting.end or 0), len(waiting.settled)

    def _end_of(self, one: Utterance) -> int:
        """Where it has ended for sure, as the times on the wire are rounded."""
        return (one.end or 0) - self._slack

    def _patience(self, waiting: Utterance) -> float:
        """How long the service may say nothing."""
        tail = (waiting.end or 0) - waiting.settled_to
        if waiting.settled and waiting.is_settled and tail <= self._tail:
            return min(TAIL_SECONDS, self._settings.finalize_seconds)
        return self._settings.finalize_seconds

    def _settle(self, waiting: Utterance) -> list[SttEvent]:
        """The service said nothing more: is what is known the answer?"""
        # Silence owes no words: the service may say nothing of it.
        end, begin = min(waiting.end or 0, waiting.loud_to), waiting.start or 0
        is_quiet = end - max(waiting.heard_to, begin) > self._behind and waiting.is_settled
        if waiting.id is None or (waiting.is_settled and not is_quiet):
            waiting.is_complete = True
            return []
        if is_quiet:
            return self._gone("the service went quiet before it told all the words")
        waiting.is_complete = True
        finals = self._finals()
        return [*finals, *self._gone("the service tells words, and never that they are final")]

    def _gone(self, message: str) -> list[SttEvent]:
        if self._is_failed:
            return []
        self._is_failed = True
        timeout, message = ErrorCategory.TIMEOUT, f"{message}; {ELSEWHERE}"
        return [ServiceFailed(category=timeout, message=message, is_fatal=True)]

    def _finals(self) -> list[SttEvent]:
        return [
            one.transcript(
                is_final=True,
                wants_words=self._options.wants_words,
                language=self._options.language,
            )
            for one in self._utterances.release()
            if one.id is not None
        ]

    def _interims(self) -> list[SttEvent]:
        """The words of the present utterance, if there are others than before."""
        present = self._utterances.present
        text = present.text
        if not self._options.wants_interim or not text or text == self._interim:
            return []
        self._interim = text
        return [
            present.transcript(
                is_final=False,
                wants_words=self._options.wants_words,
                language=self._options.language,
            )
        ]

    def _set_alarm(self, now: float) -> None:
        if self._told:
            self.alarm.by(now)
        if (waiting := self._utterances.waiting) is not None:
            self.alarm.by(max(self._heard_at + self._patience(waiting), now))
        if self._unheard_since is not None and not self._is_failed:
            quiet = self._unheard_since + self._settings.quiet_seconds
            late = now + self._settings.quiet_seconds
            self.alarm.by(late if is_due(quiet, now) else quiet)

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """How much was heard, why the service closed, and the end of the link.

        Nobody's words are made up: an utterance that waits has to be told to another connection.
        """
        seconds = self._utterances.position / self._format.rate
        events: list[SttEvent] = [UsageReported(usage=Usage(audio_seconds=round(seconds, 3)))]
        failure = failure_of_close(code, reason)
        if failure is not None:
            events.append(failure)
        is_clean = is_clean and failure is None
        return [*events, LinkClosed(is_clean=is_clean, reason=reason, code=code)]

    # ── words ───────────────────────────────────────────────────────────────────────────────

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._format.rate)

    def _timed(self, words: list[Word]) -> tuple[TimedWord, ...]:
        """Words with their places in the stream; none if not all of them have one."""
        timed = tuple(
            TimedWord(
                text=one.punctuated_word or one.word,
                start=self._samples(one.start),
                end=self._samples(one.end),
                confidence=one.confidence,
            )
            for one in words
            if one.start is not None and one.end is not None
        )
        return timed if len(timed) == len(words) else ()
