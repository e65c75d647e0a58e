"""The protocol of Scribe in real time, as a pure translation.

How it works. All sound is one stream, in which the service settles what it heard up to a *cut*. We
make the cuts ourselves, by commits: one at the end of each utterance, one where an utterance is
dropped, and one each minute of a long one. Answers come in the order of the cuts, so a queue says
of what a text is; the texts of one utterance are put together until its end. A text that answers no
cut is the service's own doing. It counts if words were heard that it can settle, and is a
repetition if not.

Where the service makes the cuts (`vad`) a commit of ours could meet one of its own, and the session
would end for want of sound in between. So the end of an utterance is silence there, until the
service has noticed; and where it understood nothing, there is nothing to notice, and a moment is
waited instead.

With times, or with the language, each text comes twice: without them first. Only the second counts.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
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
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.stt.elevenlabs import _wire as wire
from beluga_voice.providers.stt.elevenlabs._capabilities import (
    DEFAULT_SILENCE_SECONDS,
    KEEPALIVE_SECONDS,
    MAX_CHUNK_MS,
    MIN_COMMIT_MS,
    SEGMENT_SECONDS,
)
from beluga_voice.providers.stt.elevenlabs._errors import ERRORS, category_of_close, message_of
from beluga_voice.providers.stt.elevenlabs._options import Settings
from beluga_voice.providers.tick import TICK

SPARE_SILENCE_SECONDS = 0.5
"""Silence beyond what the service waits for."""
LOUD = 0.01
"""Sound above this fraction of full scale is no silence."""
_SILENT = {Encoding.PCM16: b"\0", Encoding.MULAW: b"\xff"}
_PLAIN = "committed_transcript"
_TIMED = "committed_transcript_with_timestamps"


@dataclass(slots=True)
class _Cut:
    """A place in the sound up to which everything is to be settled."""

    begin: int
    """Where its utterance began, in samples of the session."""
    since: float
    """When it was asked for."""
    utterance_id: UtteranceId | None = None
    is_end: bool = True
    """Whether the utterance ends here; dropped, if it has no id."""


@dataclass(slots=True)
class _Settled:
    """What was settled of one utterance."""

    texts: list[str] = field(default_factory=list[str])
    words: list[TimedWord] = field(default_factory=list[TimedWord])
    language: str | None = None

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def confidence(self) -> float | None:
        known = [word.confidence for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None


class ScribeCodec:
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
        self._settings = settings
        self._wants_interim = options.wants_interim
        is_twice = options.wants_words or settings.detects_language
        self._final = _TIMED if is_twice else _PLAIN
        self._source = input_format_of(capabilities, options.input_format)
        self._now = now
        self._changed = changed
        self._orders: list[WireMessage] = []
        self._previous_text = settings.previous_text
        self._has_failed = False
        # ── the sound, in samples
        self._half: bytes = b""
        self._sent = 0
        self._begin = 0
        self._uncommitted = 0
        self._unheard = 0
        """Sound that is no silence, since the service last said anything."""
        self._last_sent = now()
        # ── what comes of it
        self._cuts: deque[_Cut] = deque()
        self._settled = _Settled()
        self._partial = ""
        """What the service understood since the last cut."""
        self._is_over = False
        """The last utterance was answered without a word from the service; since then no sound."""
        self._is_stale = False
        """What the service understands now is still of such an utterance."""
        self._last_text_at = -math.inf

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """Nothing: the settings are in the address."""
        return []

    def replies(self) -> list[WireMessage]:
        """What a moment that came made us say."""
        orders, self._orders = self._orders, []
        return orders

    def encode(self, command: SttCommand, /) -> list[WireMessage]:
        """Sound as it is; the end of an utterance as a cut."""
        self._last_sent = self._now()
        match command:
            case SendAudio():
                return self._sound(command.pcm)
            case FinishUtterance():
                return self._cut(command.utterance_id)
            case DropUtterance():
                is_new = self._sent == self._begin
                return [] if is_new else self._cut(None)
            case _:
                assert_never(command)

    def _sound(self, sound: bytes) -> list[WireMessage]:
        sound = self._half + sound
        count = len(sound) // self._source.block_bytes
        whole = count * self._source.block_bytes
        sound, self._half = sound[:whole], sound[whole:]
        if not count:
            return []
        self._is_over = False
        self._sent += count
        self._uncommitted += count
        if self._is_loud(sound):
            self._unheard += count
        if self._is_cut_due:
            self._changed()
        return self._chunks(sound)

    def _chunks(self, sound: bytes) -> list[WireMessage]:
        size = to_samples(MAX_CHUNK_MS, self._rate) * self._source.block_bytes
        return [self._chunk(sound[at : at + size]) for at in range(0, len(sound), size)]

    def _chunk(self, sound: bytes, *, commit: bool = False) -> WireMessage:
        previous, self._previous_text = self._previous_text, ""
        return wire.chunk(sound, self._source.rate, commit=commit, previous_text=previous)

    def _is_loud(self, sound: bytes) -> bool:
        if self._source.encoding is not Encoding.PCM16:
            sound = convert(sound, self._source, pcm16(self._source.rate))
        return rms(sound) > LOUD

    def _cut(self, utterance_id: UtteranceId | None, *, is_end: bool = True) -> list[WireMessage]:
        """Have everything settled up to here."""
        now = self._now()
        cut = _Cut(begin=self._begin, since=now, utterance_id=utterance_id, is_end=is_end)
        self._cuts.append(cut)
        if self._settings.finds_turns:
            seconds = self._settings.vad_silence_seconds or DEFAULT_SILENCE_SECONDS
            milliseconds = (seconds + SPARE_SILENCE_SECONDS) * 1000
            messages = self._chunks(self._silence(to_samples(milliseconds, self._rate)))
        else:
            missing = to_samples(MIN_COMMIT_MS, self._rate) - self._uncommitted
            messages = [self._chunk(self._silence(missing), commit=True)]
        self._uncommitted = 0
        if is_end:
            self._half = b""
            self._begin = self._sent
        self._changed()
        return messages

    @property
    def _rate(self) -> int:
        return self._source.rate

    def _silence(self, count: int) -> bytes:
        """So many samples of silence, which count as sent."""
        count = max(count, 0)
        self._sent += count
        return _SILENT[self._source.encoding] * (count * self._source.block_bytes)

    # ── moments ─────────────────────────────────────────────────────────────────────────────

    @property
    def deadline(self) -> float | None:
        """When a `TICK` is wanted next."""
        if self._has_failed:
            return None
        if self._is_cut_due:
            return self._now()
        moments = [self._last_sent + KEEPALIVE_SECONDS]
        if self._cuts:
            moments.append(self._answer_due)
        return min(moments)

    @property
    def _answer_due(self) -> float:
        """Until when the first cut is waited for."""
        since = max(self._cuts[0].since, self._last_text_at)
        if self._settings.finds_turns and not self._partial:
            return since + self._settings.settle_seconds
        return since + self._settings.answer_seconds

    @property
    def _is_cut_due(self) -> bool:
        """Whether an utterance is so long, or the service so quiet, that part of it is settled."""
        if self._has_failed:
            return False
        if self._unheard >= self._settings.quiet_seconds * self._rate:
            return True
        is_long = self._uncommitted >= SEGMENT_SECONDS * self._rate
        return is_long and not self._settings.finds_turns

    def _moment(self) -> list[SttEvent]:
        """A moment has come."""
        now = self._now()
        if self._is_cut_due:
            if self._settings.finds_turns:
                return [self._fail(ErrorCategory.RETRYABLE, "hears sound, and tells nothing of it")]
            self._unheard = 0
            self._orders += self._cut(None, is_end=False)
        if self._cuts and now >= self._answer_due:
            if not self._settings.finds_turns or self._partial:
                waited = f"{self._settings.answer_seconds:g} s"
                return [self._fail(ErrorCategory.TIMEOUT, f"gave no final transcript in {waited}")]
            self._is_over = True
            return self._settle(self._cuts.popleft(), "", wire.ServerMessage(message_type=_PLAIN))
        if now >= self._last_sent + KEEPALIVE_SECONDS:
            self._last_sent = now
            self._orders.append(self._chunk(b""))
        return []

    def _fail(self, category: ErrorCategory, what: str) -> ServiceFailed:
        self._has_failed = True
        if category is not ErrorCategory.INVALID_REQUEST:
            what = f"{what}; {ELSEWHERE}"
        return ServiceFailed(category=category, message=f"the service {what}", is_fatal=True)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        if message is TICK:
            return self._moment()
        said = wire.read(message)
        kind = said.message_type
        if kind in ERRORS:
            self._has_failed = True
            return [
                ServiceFailed(
                    category=ERRORS[kind],
                    message=message_of(kind, said.error),
                    is_fatal=True,
                    provider_code=kind,
                )
            ]
        self._unheard = 0
        if kind == "session_started":
            return self._started(said)
        if kind == "partial_transcript":
            return self._heard((said.text or "").strip())
        return self._committed(said) if kind == self._final else []

    def _started(self, said: wire.ServerMessage) -> list[SttEvent]:
        config = said.config or wire.Config()
        if config.sample_rate not in (None, self._rate):
            what = f"hears at {config.sample_rate} Hz, where {self._rate} was asked for"
            return [self._fail(ErrorCategory.INVALID_REQUEST, what)]
        return [LinkReady(remote_id=said.session_id, model=config.model_id)]

    def _heard(self, text: str) -> list[SttEvent]:
        """Words that may still change."""
        if self._is_over or self._is_stale:
            self._is_stale = self._is_stale or bool(text)
            return []
        self._partial = text
        if self._settings.finds_turns and text:
            self._last_text_at = self._now()
        return self._interim(text) if text else []

    def _interim(self, text: str) -> list[SttEvent]:
        """The utterance so far, unless what comes is still of an older one."""
        if not self._wants_interim or any(cut.is_end for cut in self._cuts):
            return []
        whole = " ".join(part for part in (self._settled.text, text) if part)
        return [Transcript(text=whole, is_final=False)]

    def _committed(self, said: wire.ServerMessage) -> list[SttEvent]:
        """Words that are settled, up to a cut of ours or of the service."""
        text = (said.text or "").strip()
        if self._is_over or self._is_stale:
            self._is_stale = False
            return []
        had_words, self._partial = bool(self._partial), ""
        if self._settings.finds_turns and not text and not had_words:
            return []  # it only says that nobody speaks
        if self._cuts:
            cut = self._cuts.popleft()
            self._last_text_at = self._now()
            return self._settle(cut, text, said)
        if not had_words and not self._settings.finds_turns:
            return []  # it says so again
        self._uncommitted = 0
        own = _Cut(begin=self._begin, since=self._now(), is_end=False)
        events = self._settle(own, text, said)
        if self._settings.finds_turns:
            events.append(EndOfTurnLikely(probability=1.0))
        return events

    def _settle(self, cut: _Cut, text: str, said: wire.ServerMessage) -> list[SttEvent]:
        settled = self._settled
        if text:
            settled.texts.append(text)
        settled.words += self._words(said.words or [], cut.begin)
        settled.language = said.language_code or settled.language
        if not cut.is_end:
            return self._interim("") if settled.texts else []
        self._settled = _Settled()
        if cut.utterance_id is None:
            return []
        return [
            Transcript(
                text=settled.text,
                is_final=True,
                utterance_id=cut.utterance_id,
                words=tuple(settled.words),
                confidence=settled.confidence,
                language=settled.language,
            )
        ]

    def _words(self, words: list[wire.Word], begin: int) -> list[TimedWord]:
        """The words alone; their times count from the session's first sound."""
        timed: list[TimedWord] = []
        for word in words:
            if word.type not in (None, "word") or not word.text or word.start is None:
                continue
            start = max(self._samples(word.start) - begin, 0)
            end = start if word.end is None else max(self._samples(word.end) - begin, start)
            sure = wire.confidence_of(word)
            timed.append(TimedWord(text=word.text.strip(), start=start, end=end, confidence=sure))
        return timed

    def _samples(self, seconds: float) -> int:
        """A position; nonsense is the end of the sound."""
        return round(min(max(seconds, 0.0) * self._rate, self._sent))

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """The wire is gone; utterances that wait for their end stay without one."""
        events: list[SttEvent] = []
        category = category_of_close(code)
        if category is not None and not self._has_failed:
            message = f"the service closed with {code}: {reason[:200] or 'no reason'}"
            events.append(ServiceFailed(category=category, message=message, is_fatal=True))
        self._has_failed = True
        return [*events, LinkClosed(is_clean=is_clean, code=code, reason=reason)]
