"""The protocol of AssemblyAI's streaming, as a pure translation.

How it works. All sound is one stream, in which the service finds turns and says the times of words.
An utterance is a stretch of that stream, from one end that we were told to the next, and a word
belongs to the one it sounds in. A turn is told whole each time, and its end twice where it is
formatted: only the second time are its words settled, or after a moment if that does not come.

To end an utterance, or to drop one, the service is told to end the turn (`ForceEndpoint`). It does
not answer where no turn is open. So an utterance is whole

* at once, if every turn in it has ended and no sound followed that may hold a word;
* else when a turn of it ends after we asked;
* else, while no word is unsettled, when nothing more came for `settle_seconds`.

Words that stay unsettled for `answer_seconds` end the link, as does a service that says nothing for
`quiet_seconds` of sound: of any sound if it has a heartbeat, else of sound that is not silence.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import Encoding, pcm16, to_samples
from beluga_voice.audio.level import rms
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
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.advice import advice_on
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.assemblyai import _wire as wire
from beluga_voice.providers.stt.assemblyai._capabilities import (
    CODES,
    KEY_VARIABLE,
    MAX_FRAME_MS,
    MIN_FRAME_MS,
    category_of,
)
from beluga_voice.providers.stt.assemblyai._options import Settings, formats_turns
from beluga_voice.providers.tick import TICK

LOUD = 0.01
"""Sound above this fraction of full scale is no silence."""
TAIL_MS = 300
"""Sound so soon after a word is still the word's."""
LONG_TAIL_MS = 700
"""The same, once the service was told to end the turn."""
_SILENT = {Encoding.PCM16: b"\0", Encoding.MULAW: b"\xff"}


@dataclass(slots=True)
class _Part:
    """What one turn has of an utterance."""

    text: str
    words: tuple[TimedWord, ...]
    is_settled: bool
    has_ended: bool
    """Whether its turn has ended; formatted words may follow."""


@dataclass(slots=True, eq=False)
class _Utterance:
    begin: int
    """In samples of the session."""
    end: int | None = None
    id: UtteranceId | None = None
    """Of one that ended; without it, it was dropped."""
    asked_at: float = 0.0
    told_at: float = 0.0
    """When something of it was told last, or it was asked for."""
    is_whole: bool = False
    loud_to: int = 0
    parts: dict[int, _Part] = field(default_factory=dict[int, _Part])
    language: str | None = None

    @property
    def text(self) -> str:
        return " ".join(one.text for _, one in sorted(self.parts.items()) if one.text)

    @property
    def words(self) -> tuple[TimedWord, ...]:
        return tuple(word for _, one in sorted(self.parts.items()) for word in one.words)

    @property
    def is_open(self) -> bool:
        """Whether a turn of it goes on."""
        return any(not one.has_ended for one in self.parts.values())

    @property
    def is_settled(self) -> bool:
        return all(one.is_settled for one in self.parts.values())

    def may_hold_more(self, tail: int) -> bool:
        """Whether there was sound so long after the last word that it may hold another."""
        last = max((word.end for word in self.words), default=0)
        return self.loud_to > self.begin and self.loud_to > self.begin + last + (
            tail if self.words else 0
        )


class AssemblyAiCodec:
    """One session's worth of the protocol.

    `now` is the time in seconds, of any clock; `changed` is called when `deadline` came nearer.
    """

    def __init__(
        self,
        options: SttOptions,
        settings: Settings,
        capabilities: Capabilities,
        *,
        now: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._options = options
        self._settings = settings
        self._is_twice = formats_turns(options, settings)
        self._format = input_format_of(capabilities, options.input_format)
        self._now = now
        self._changed = changed
        self._has_failed = False
        self._held = b""
        """Sound that is too short for a frame."""
        self._sent = 0
        self._present = _Utterance(begin=0)
        self._waiting: deque[_Utterance] = deque()
        """Utterances that ended, and are not answered or forgotten."""
        self._ended_turns = -1
        """The last turn whose end was told."""
        self._unheard = 0
        """Sound since the service last said anything; without a heartbeat, only what is loud."""
        self._has_heartbeat = False

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """Nothing: the settings are in the address."""
        return []

    def encode(self, command: SttCommand, /) -> list[WireMessage]:
        """Sound in frames as the service takes them; an end as an order."""
        match command:
            case SendAudio():
                return self._sound(command.pcm)
            case FinishUtterance():
                return self._end(command.utterance_id)
            case DropUtterance():
                is_new = self._sent == self._present.begin and not self._held
                return [] if is_new else self._end(None)
            case _:
                assert_never(command)

    def _frame_bytes(self, milliseconds: float) -> int:
        return to_samples(milliseconds, self._format.rate) * self._format.block_bytes

    def _sound(self, sound: bytes) -> list[WireMessage]:
        sound = self._held + sound
        shortest, longest = self._frame_bytes(MIN_FRAME_MS), self._frame_bytes(MAX_FRAME_MS)
        frames: list[WireMessage] = []
        at = 0
        while len(sound) - at >= shortest:
            size = min(len(sound) - at, longest)
            frame = sound[at : at + size - size % self._format.block_bytes]
            frames.append(frame)
            self._count(frame)
            at += len(frame)
        self._held = sound[at:]
        if self._is_quiet:
            self._changed()
        return frames

    def _count(self, frame: bytes) -> None:
        samples = len(frame) // self._format.block_bytes
        is_loud = self._is_loud(frame)
        self._sent += samples
        if is_loud:
            self._present.loud_to = self._sent
        if is_loud or self._has_heartbeat:
            self._unheard += samples

    def _is_loud(self, sound: bytes) -> bool:
        if self._format.encoding is not Encoding.PCM16:
            sound = convert(sound, self._format, pcm16(self._format.rate))
        return rms(sound) > LOUD

    def _end(self, utterance_id: UtteranceId | None) -> list[WireMessage]:
        messages: list[WireMessage] = []
        if len(self._held) >= self._format.block_bytes:
            whole = len(self._held) - len(self._held) % self._format.block_bytes
            silence = _SILENT[self._format.encoding]
            frame = self._held[:whole].ljust(self._frame_bytes(MIN_FRAME_MS), silence)
            self._count(frame)
            messages.append(frame)
        self._held = b""
        ended = self._present
        ended.end, ended.id = self._sent, utterance_id
        ended.asked_at = ended.told_at = self._now()
        self._present = _Utterance(begin=self._sent)
        self._waiting.append(ended)
        ended.is_whole = (
            ended.is_settled
            and not ended.is_open
            and not ended.may_hold_more(self._samples(TAIL_MS))
        )
        self._changed()
        has_sound = ended.end > ended.begin
        return [*messages, wire.FORCE_ENDPOINT] if has_sound else []

    def _samples(self, milliseconds: float) -> int:
        return round(milliseconds * self._format.rate / 1000)

    # ── moments ─────────────────────────────────────────────────────────────────────────────

    @property
    def _is_quiet(self) -> bool:
        return self._unheard >= self._settings.quiet_seconds * self._format.rate

    @property
    def deadline(self) -> float | None:
        """When a `TICK` is wanted next."""
        if self._has_failed:
            return None
        if self._is_quiet:
            return self._now()
        return self._due(self._waiting[0]) if self._waiting else None

    def _due(self, one: _Utterance) -> float:
        if one.is_whole:
            return self._now()
        if one.is_open:
            return one.asked_at + self._settings.answer_seconds
        return one.told_at + self._settings.settle_seconds

    def _moment(self) -> list[SttEvent]:
        if self._is_quiet:
            return [self._fail(ErrorCategory.RETRYABLE, "says nothing to the sound it is sent")]
        if not self._waiting or self._now() < self._due(self._waiting[0]):
            return []
        first = self._waiting[0]
        if not first.is_whole and first.is_open and first.id is not None:
            waited = f"{self._settings.answer_seconds:g} s"
            return [self._fail(ErrorCategory.TIMEOUT, f"gave no final transcript in {waited}")]
        first.is_whole = True
        return self._answers()

    def _fail(self, category: ErrorCategory, what: str) -> ServiceFailed:
        self._has_failed = True
        message = f"the service {what}; {ELSEWHERE}"
        return ServiceFailed(category=category, message=message, is_fatal=True)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        if message is TICK:
            return self._moment()
        said = wire.read(message)
        self._unheard = 0
        match said:
            case wire.Begin():
                ready = LinkReady(
                    remote_id=said.id,
                    model=self._settings.model,
                    expires_at=_unix(said.expires_at),
                )
                return [ready]
            case wire.Turn():
                return self._turn(said)
            case wire.SpeechBegan():
                is_new = self._samples(said.timestamp) >= self._present.begin
                return [SpeechStarted()] if is_new else []
            case wire.Heartbeat():
                self._has_heartbeat = True
                return []
            case wire.Warned():
                benign = ErrorCategory.BENIGN
                return [ServiceFailed(category=benign, message=said.warning[:200] or "a warning")]
            case wire.Error():
                self._has_failed = True
                return [_failure(said.error_code, said.error)]
            case wire.Termination():
                seconds = said.audio_duration_seconds
                usage = Usage(audio_seconds=seconds)
                return [] if seconds is None else [UsageReported(usage=usage)]
            case None:
                return []
            case _:
                assert_never(said)

    def _turn(self, said: wire.Turn) -> list[SttEvent]:
        is_settled = said.end_of_turn and (said.turn_is_formatted or not self._is_twice)
        now = self._now()
        touched: list[_Utterance] = []
        owners = [self._at(self._samples((word.start + word.end) / 2)) for word in said.words]
        kinds = list(dict.fromkeys(owners)) or [self._silent_owner()]
        for owner in kinds:
            if owner is None:
                continue
            words = [word for word, of in zip(said.words, owners, strict=True) if of is owner]
            before = owner.parts.get(said.turn_order)
            if before is not None and before.is_settled:
                continue  # it was told already
            whole = len(kinds) == 1 and said.end_of_turn
            text = said.transcript if whole else " ".join(word.text for word in words)
            owner.parts[said.turn_order] = _Part(
                text=text.strip(),
                words=tuple(self._timed(word, owner) for word in words),
                is_settled=is_settled,
                has_ended=said.end_of_turn,
            )
            owner.told_at = now
            owner.language = said.language_code or owner.language
            touched.append(owner)
        return [*self._told(said, touched), *self._look(touched)]

    def _told(self, said: wire.Turn, touched: list[_Utterance]) -> list[SttEvent]:
        """What is news of the present utterance."""
        if self._present not in touched or any(one.id is not None for one in self._waiting):
            return []
        events: list[SttEvent] = []
        text = self._present.text
        if self._options.wants_interim and text:
            events.append(Transcript(text=text, is_final=False, language=self._present.language))
        if said.end_of_turn and said.turn_order > self._ended_turns:
            self._ended_turns = said.turn_order
            sure = said.end_of_turn_confidence
            events.append(EndOfTurnLikely(probability=1.0 if sure is None else sure))
        return events

    def _look(self, touched: list[_Utterance]) -> list[SttEvent]:
        """Is an utterance whole, now that more of it was told?"""
        tail = self._samples(LONG_TAIL_MS)
        for one in touched:
            if one.end is not None and one.parts and one.is_settled and not one.is_open:
                one.is_whole = one.is_whole or not one.may_hold_more(tail)
        return self._answers()

    def _at(self, position: int) -> _Utterance | None:
        """The utterance that sounds there, unless it is over."""
        for one in (*self._waiting, self._present):
            if one.begin <= position and (one.end is None or position < one.end):
                return one
        # A word may be said to end a little after the sound we have sent.
        return self._present if position >= self._present.begin else None

    def _silent_owner(self) -> _Utterance | None:
        """Whose a turn without words is."""
        return self._waiting[0] if self._waiting else self._present

    def _timed(self, word: wire.Word, owner: _Utterance) -> TimedWord:
        return TimedWord(
            text=word.text,
            start=max(self._samples(word.start) - owner.begin, 0),
            end=max(self._samples(word.end) - owner.begin, 0),
            confidence=word.confidence,
        )

    def _answers(self) -> list[SttEvent]:
        """The final transcripts that are due, in the order of their utterances."""
        finals: list[SttEvent] = []
        while self._waiting and self._waiting[0].is_whole:
            one = self._waiting.popleft()
            if one.id is None:
                continue
            known = [word.confidence for word in one.words if word.confidence is not None]
            finals.append(
                Transcript(
                    text=one.text,
                    is_final=True,
                    utterance_id=one.id,
                    words=one.words if self._options.wants_words else (),
                    confidence=sum(known) / len(known) if known else None,
                    language=one.language,
                )
            )
        if finals and self._waiting:
            now = self._now()
            self._waiting[0].asked_at = self._waiting[0].told_at = now
        return finals

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """Why the service closed, and the end. Nobody's words are made up."""
        events: list[SttEvent] = []
        if code in CODES and not self._has_failed:
            events.append(_failure(code, reason))
            is_clean = False
        return [*events, LinkClosed(is_clean=is_clean, reason=reason, code=code)]


def _failure(code: int | None, said: str) -> ServiceFailed:
    category = category_of(code, said)
    # What is said about a key might quote it.
    shown = "" if category is ErrorCategory.AUTH else said[:200]
    seen = ": ".join(part for part in (str(code or "error"), shown) if part)
    return ServiceFailed(
        category=category,
        message=f"{seen}; {advice_on(category, variable=KEY_VARIABLE)}",
        is_fatal=True,
        provider_code=None if code is None else str(code),
    )


def _unix(moment: float | str | None) -> float | None:
    """Unix seconds, from a number or a date."""
    if not isinstance(moment, str):
        return moment
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (ValueError, OverflowError):
        return None
