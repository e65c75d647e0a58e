"""Whether a service does what it was asked for, in time.

How it works. Some commands ask for something: `FinishUtterance` for a final transcript, text for
sound, a turn that ends for a response. What is asked for is *owed* until it comes. A link that owes
something and gives nothing useful until the deadline has failed, however well its connection is:
interim words that never become final, a stream that opens and stays empty, a context that ends
without a sound. Pure: the time is an argument, in seconds.

Turns that a service ends by itself ask for nothing here: whether it means to answer is not known.
"""

from dataclasses import dataclass, replace

from beluga_voice.audio.formats import Encoding, is_digital_silence
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    CreateResponse,
    DelegationRequested,
    EndUserTurn,
    FinishSpeech,
    FinishUtterance,
    Interrupt,
    Interrupted,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseStatus,
    ResponseText,
    Say,
    SendText,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    StartUserTurn,
    ToolCalled,
    Transcript,
    UtteranceId,
)
from beluga_voice.resilience.breaker import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressSettings:
    """How long a service may take, in milliseconds; above 0."""

    final_ms: float = 3000
    """From `FinishUtterance` to the final transcript."""
    audio_ms: float = 3000
    """From text to its sound, and from one piece of sound to the next while more is owed."""
    answer_ms: float = 10_000
    """From the end of the person's turn to the first word, sound or tool call of a response."""
    slow_share: float = 0.5
    """What takes longer than this part of what it may take was slow."""

    def __post_init__(self) -> None:
        for name in ("final_ms", "audio_ms", "answer_ms", "slow_share"):
            if getattr(self, name) <= 0:
                raise ConfigurationError(f"{name} should be above 0", op="progress")

    def times(self, factor: float) -> "ProgressSettings":
        """The same with so many times as much time."""
        return replace(
            self,
            final_ms=self.final_ms * factor,
            audio_ms=self.audio_ms * factor,
            answer_ms=self.answer_ms * factor,
        )


@dataclass(slots=True)
class _Context:
    """A context of a text-to-speech link."""

    asked_at: float
    is_owed: bool = False
    """Text was given of which no sound came."""
    has_words: bool = False
    """There is something in its text that can be heard."""
    has_sounded: bool = False
    is_finished: bool = False


class Progress:
    """What one link owes. It takes the commands and events of any kind of link."""

    __slots__ = (
        "_answered_at",
        "_asked_at",
        "_contexts",
        "_encoding",
        "_finals",
        "_is_streaming",
        "reason",
        "settings",
    )

    def __init__(
        self,
        settings: ProgressSettings,
        *,
        is_streaming: bool = True,
        encoding: Encoding = Encoding.PCM16,
    ) -> None:
        self.settings = settings
        """As of now."""
        self._is_streaming = is_streaming
        """A voice that does not stream owes nothing before its text is whole."""
        self._encoding = encoding
        """Of the sound that comes: silence is not zero in all of them."""
        self._finals: dict[UtteranceId, float] = {}
        self._contexts: dict[ContextId, _Context] = {}
        self._answered_at = 0.0
        """When there was anything to hear last, or something was asked while nothing was owed."""
        self._asked_at: float | None = None
        self.reason = ""
        """What is missing at the deadline; or why an outcome is `FAILED`."""

    @property
    def deadline(self) -> float | None:
        """When the link has failed, if nothing useful comes before."""
        found: float | None = None
        if self._finals:
            found = next(iter(self._finals.values())) + self.settings.final_ms / 1000
            self.reason = f"no final transcript within {self.settings.final_ms:g} ms"
        elif self._owes_sound():
            found = self._answered_at + self.settings.audio_ms / 1000
            self.reason = f"no sound within {self.settings.audio_ms:g} ms"
        elif self._asked_at is not None:
            found = self._asked_at + self.settings.answer_ms / 1000
            self.reason = f"no response within {self.settings.answer_ms:g} ms"
        return found

    def sent(self, command: object, now: float) -> None:
        """A command goes to the service; of no interest are those that ask for nothing."""
        match command:
            case FinishUtterance():
                self._finals[command.utterance_id] = now
            case SpeakText() | FinishSpeech():
                self._ask_for_sound(command, now)
            case CancelSpeech():
                self._contexts.pop(command.context_id, None)
            case EndUserTurn(respond=True) | SendText(respond=True) | CreateResponse() | Say():
                if self._asked_at is None:
                    self._asked_at = now
            case Interrupt() | StartUserTurn():
                self._asked_at = None
            case _:
                pass

    def received(self, event: object, now: float) -> Outcome | None:
        """How what was asked for came, if this is the first of it."""
        match event:
            case Transcript(is_final=True):
                if event.utterance_id is None:
                    return None
                asked = self._finals.pop(event.utterance_id, None)
                return self._outcome(asked, self.settings.final_ms, now)
            case SpeechAudio():
                return self._heard(event, now)
            case SpeechWords():
                self._answered_at = now
                return None
            case SpeechDone():
                self._answered_at = now
                context = self._contexts.pop(event.context_id, None)
                if context is None or context.has_sounded or not context.has_words:
                    return None
                self.reason = "it ended its speech without a sound"
                return Outcome.FAILED
            case ResponseDone(status=ResponseStatus.FAILED):
                self._asked_at = None
                self.reason = "a response failed"
                return Outcome.FAILED
            case (
                ResponseAudio()
                | ResponseText()
                | ResponseDone()
                | NoResponse()
                | Interrupted()
                | ToolCalled()
                | DelegationRequested()
            ):
                asked, self._asked_at = self._asked_at, None
                return self._outcome(asked, self.settings.answer_ms, now)
            case _:
                return None

    def _ask_for_sound(self, command: SpeakText | FinishSpeech, now: float) -> None:
        was_owing = self._owes_sound()
        context = self._contexts.setdefault(command.context_id, _Context(now))
        if isinstance(command, FinishSpeech):
            context.is_finished = True
        elif any(map(str.isalnum, command.text)):
            context.has_words = context.is_owed = True
        if not was_owing:
            self._answered_at = now

    def _heard(self, event: SpeechAudio, now: float) -> Outcome | None:
        context = self._contexts.get(event.context_id)
        if context is not None and context.has_sounded:
            if event.pcm:
                self._answered_at = now
                context.is_owed = False
            return None
        if is_digital_silence(event.pcm, self._encoding):
            return None  # a voice that says no more is mute
        self._answered_at = now
        if context is None:
            return None
        context.has_sounded, context.is_owed = True, False
        return self._outcome(context.asked_at, self.settings.audio_ms, now)

    def _owes_sound(self) -> bool:
        return any(
            one.is_finished or (one.is_owed and self._is_streaming)
            for one in self._contexts.values()
        )

    def _outcome(self, asked: float | None, limit_ms: float, now: float) -> Outcome | None:
        if asked is None:
            return None
        is_slow = (now - asked) * 1000 > limit_ms * self.settings.slow_share
        return Outcome.SLOW if is_slow else Outcome.GOOD
