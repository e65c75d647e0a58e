"""The protocol of live transcription, as a pure translation.

How it works. The service puts what it is sent into a buffer, and makes an *item* of it when told to
commit; words are told by item, before the commit as well, and may come out of order. An utterance
owns the items that are made of its sound: the one its commit names, and any that the service made
by itself. It is whole when its commit was taken and all its items are settled, and utterances are
answered in their order.

To drop an utterance the buffer is cleared. Until that is acknowledged, an item nobody knows is one
of what was dropped.

A commit of less than 100 ms is refused, so silence fills it up; an utterance without any sound is
answered without asking. What is not answered `answer_seconds` after it was asked for, or after the
utterance before it was answered, ends the link: words that never become final count as none.

A model that tells words while they are spoken says something to a voice. If it does not for
`quiet_seconds` of sound that is no silence, a part of the utterance is committed, to see whether it
is there: that changes nothing of what is heard, and is to be acknowledged in `answer_seconds`.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import Encoding, pcm16, to_samples
from beluga_voice.audio.level import rms
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
    Transcript,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, WireMessage, input_format_of
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.providers.openai.account import NAME, ErrorObject, category_of, message_of
from beluga_voice.providers.s2s.realtime_dialect import Reader
from beluga_voice.providers.s2s.realtime_dialect import wire as shared
from beluga_voice.providers.s2s.realtime_dialect.reading import IGNORED, TRANSCRIPTION
from beluga_voice.providers.stt.openai import _wire as wire
from beluga_voice.providers.stt.openai._capabilities import (
    EXPIRED_CODE,
    EXPIRED_REASON,
    LIVE_MODELS,
    MIN_COMMIT_MS,
)
from beluga_voice.providers.stt.openai._options import Settings, session_of
from beluga_voice.providers.tick import TICK

LOUD = 0.01
"""Sound above this fraction of full scale is no silence."""
MAX_APPEND_BYTES = 1024 * 1024
"""Of sound in one message; the service takes 15 MiB, as base64."""
REMEMBERED = 1000
"""Items that are over, and of which something may still come."""

READER = Reader(
    NAME,
    {
        "session.created": shared.SessionMessage,
        "session.updated": shared.SessionMessage,
        "error": wire.ErrorMessage,
        "input_audio_buffer.committed": shared.InputMessage,
        "input_audio_buffer.cleared": wire.Cleared,
        f"{TRANSCRIPTION}.delta": shared.TranscriptDelta,
        f"{TRANSCRIPTION}.completed": wire.Completed,
        f"{TRANSCRIPTION}.failed": wire.Failed,
    },
    IGNORED,
)
_SILENT = {Encoding.PCM16: b"\0", Encoding.MULAW: b"\xff", Encoding.ALAW: b"\xd5"}
_encode = msgspec.json.encode


@dataclass(slots=True, eq=False)
class _Item:
    """A part of an utterance, as the service cuts it."""

    owner: "_Utterance"
    text: str = ""
    is_settled: bool = False


@dataclass(slots=True, eq=False)
class _Utterance:
    """What somebody said, from one end to the next."""

    items: dict[str, _Item] = field(default_factory=dict[str, _Item])
    id: UtteranceId | None = None
    names: set[str] = field(default_factory=set[str])
    """Of its commits that were not acknowledged."""
    is_over: bool = False
    is_dropped: bool = False
    has_sound: bool = False
    asked_at: float = 0.0
    language: str | None = None

    @property
    def text(self) -> str:
        return " ".join(part for one in self.items.values() if (part := one.text.strip()))

    @property
    def is_whole(self) -> bool:
        settled = all(one.is_settled for one in self.items.values())
        return self.is_over and not self.names and settled


class TranscriptionCodec:
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
        self._session: dict[str, Any] = session_of(options, settings, capabilities)
        self._wants_interim = options.wants_interim
        self._language = options.language
        self._answer_seconds = settings.answer_seconds
        tells_words = settings.model in LIVE_MODELS
        self._quiet_seconds = settings.quiet_seconds if tells_words else math.inf
        self._format = input_format_of(capabilities, options.input_format)
        self._now = now
        self._changed = changed
        self._is_ready = False
        self._has_failed = False
        self._half = b""
        self._samples = 0
        """Of sound in the service's buffer."""
        self._unheard = 0
        """Of those, since the service last said anything, and without silence."""
        self._probed_at: float | None = None
        """When it was asked for a sign of life."""
        self._names = 0
        self._asked: deque[tuple[str, _Utterance | None]] = deque()
        """What the service was told to commit, by name, or to clear (`None`), and has not
        acknowledged."""
        self._present = _Utterance()
        self._waiting: deque[_Utterance] = deque()
        """Utterances that ended and are not answered."""
        self._items: dict[str, _Item] = {}
        self._dead: dict[str, None] = {}
        """Items that were answered, or dropped."""

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration."""
        return [_encode(shared.SessionUpdate(session=self._session)).decode()]

    def encode(self, command: SttCommand, /) -> list[WireMessage]:
        """Sound as it is; the end of an utterance as a commit."""
        match command:
            case SendAudio():
                return self._sound(command.pcm)
            case FinishUtterance():
                return self._finish(command.utterance_id)
            case DropUtterance():
                return self._drop()
            case _:
                assert_never(command)

    def _sound(self, sound: bytes) -> list[WireMessage]:
        sound = self._half + sound
        whole = len(sound) - len(sound) % self._format.block_bytes
        self._half = sound[whole:]
        if not whole:
            return []
        self._present.has_sound = True
        self._samples += whole // self._format.block_bytes
        messages = [
            _append(sound[at : min(at + MAX_APPEND_BYTES, whole)])
            for at in range(0, whole, MAX_APPEND_BYTES)
        ]
        return messages + self._probe(sound[:whole])

    def _probe(self, sound: bytes) -> list[WireMessage]:
        """Ask for a sign of life, if the service says nothing to a voice."""
        pcm = convert(sound, self._format, pcm16(self._format.rate))
        if rms(pcm) > LOUD:
            self._unheard += len(pcm) // 2
        is_due = self._unheard >= self._quiet_seconds * self._format.rate
        if not is_due or self._probed_at is not None or self._asked:
            return []
        self._probed_at = self._now()
        self._changed()
        return self._commit(self._present)

    def _commit(self, utterance: _Utterance) -> list[WireMessage]:
        """Make an item of what is in the buffer; too little of it is filled up."""
        self._names += 1
        name = f"commit_{self._names}"
        utterance.names.add(name)
        self._asked.append((name, utterance))
        messages: list[WireMessage] = []
        missing = to_samples(MIN_COMMIT_MS, self._format.rate) - self._samples
        if missing > 0:
            silence = _SILENT[self._format.encoding] * (missing * self._format.block_bytes)
            messages.append(_append(silence))
        self._samples = 0
        return [*messages, _encode(wire.Commit(event_id=name)).decode()]

    def _finish(self, utterance_id: UtteranceId) -> list[WireMessage]:
        ended, self._present = self._present, _Utterance()
        ended.id = utterance_id
        ended.asked_at = self._now()
        self._half = b""
        self._waiting.append(ended)
        ended.is_over = True
        self._changed()
        return self._commit(ended) if ended.has_sound else []

    def _drop(self) -> list[WireMessage]:
        dropped, self._present = self._present, _Utterance()
        self._half = b""
        self._samples = 0
        dropped.is_dropped = True
        self._forget(dropped)
        if not dropped.has_sound:
            return []
        self._asked.append(("", None))
        return [_encode(shared.Clear()).decode()]

    # ── moments ─────────────────────────────────────────────────────────────────────────────

    @property
    def deadline(self) -> float | None:
        """When a `TICK` is wanted next."""
        if self._has_failed:
            return None
        moments: list[float] = []
        if self._probed_at is not None:
            moments.append(self._probed_at + self._answer_seconds)
        if self._waiting:
            first = self._waiting[0]
            moments.append(self._now() if first.is_whole else first.asked_at + self._answer_seconds)
        return min(moments, default=None)

    def _moment(self) -> list[SttEvent]:
        events = self._answers()
        now, waited = self._now(), f"{self._answer_seconds:g} s"
        if self._waiting and now >= self._waiting[0].asked_at + self._answer_seconds:
            events.append(self._fail(f"gave no final transcript in {waited}"))
        elif self._probed_at is not None and now >= self._probed_at + self._answer_seconds:
            events.append(self._fail(f"said nothing to a voice, nor in {waited} when asked to"))
        return events

    def _fail(self, what: str) -> ServiceFailed:
        self._has_failed = True
        message = f"the service {what}; {ELSEWHERE}"
        return ServiceFailed(category=ErrorCategory.TIMEOUT, message=message, is_fatal=True)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[SttEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        if message is TICK:
            return self._moment()
        kind, said = READER.read(message)
        self._unheard, self._probed_at = 0, None
        match said:
            case shared.SessionMessage():
                return self._session_told(kind, said)
            case wire.ErrorMessage():
                return [*self._refused(said.error), *self._answers()]
            case shared.InputMessage():
                return [*self._committed(said.item_id), *self._answers()]
            case wire.Cleared():
                if self._asked and self._asked[0][1] is None:
                    self._asked.popleft()
                return []
            case shared.TranscriptDelta():
                return self._heard(said)
            case wire.Completed():
                return [*self._completed(said), *self._answers()]
            case wire.Failed():
                return [*self._not_heard(said), *self._answers()]
            case _:
                return []

    def _session_told(self, kind: str, said: shared.SessionMessage) -> list[SttEvent]:
        if kind != "session.updated" or self._is_ready:
            return []
        self._is_ready = True
        session = said.session
        model: str = self._session["audio"]["input"]["transcription"]["model"]
        return [LinkReady(remote_id=session.id, model=model, expires_at=session.expires_at)]

    def _refused(self, error: ErrorObject) -> list[SttEvent]:
        if error.event_id is not None:
            for name, one in self._asked:
                if one is not None and name == error.event_id:
                    # There was nothing in the buffer: that is the answer.
                    self._asked.remove((name, one))
                    one.names.discard(name)
                    return []
        category = category_of(error)
        is_over = category is ErrorCategory.SESSION_EXPIRED
        return [
            ServiceFailed(
                category=category,
                message=message_of(error, category) or "the service reported an error",
                is_fatal=is_over or not self._is_ready,
                provider_code=error.code or error.type,
            )
        ]

    def _committed(self, item_id: str) -> list[SttEvent]:
        self._item(item_id)
        if self._asked and (first := self._asked[0][1]) is not None:
            name, _ = self._asked.popleft()
            first.names.discard(name)
        return []

    def _item(self, item_id: str) -> _Item | None:
        """The item of that name, which belongs to the oldest sound that may be in it."""
        if item_id in self._dead:
            return None
        item = self._items.get(item_id)
        if item is None:
            owner = self._asked[0][1] if self._asked else self._present
            if owner is None or owner.is_dropped:
                self._bury(item_id)
                return None
            item = self._items[item_id] = owner.items[item_id] = _Item(owner)
        return item

    def _heard(self, said: shared.TranscriptDelta) -> list[SttEvent]:
        item = self._item(said.item_id)
        if item is None or item.is_settled:
            return []
        item.text += said.delta
        if not self._wants_interim or item.owner is not self._present or self._waiting:
            return []
        text = item.owner.text
        return [Transcript(text=text, is_final=False, language=self._language)] if text else []

    def _completed(self, said: wire.Completed) -> list[SttEvent]:
        item = self._item(said.item_id)
        if item is None or item.is_settled:
            return []
        item.text, item.is_settled = said.transcript, True
        if said.languages:
            item.owner.language = said.languages[0].code
        usage = wire.usage_of(said.usage)
        return [] if usage is None else [UsageReported(usage=usage)]

    def _not_heard(self, said: wire.Failed) -> list[SttEvent]:
        """The answer is what was understood before."""
        item = self._item(said.item_id)
        if item is None or item.is_settled:
            return []
        item.is_settled = True
        category = category_of(said.error)
        message = message_of(said.error, category) or "a transcription failed"
        code = said.error.code or said.error.type
        return [ServiceFailed(category=category, message=message, provider_code=code)]

    def _answers(self) -> list[SttEvent]:
        """The final transcripts that are due, in the order of their utterances."""
        finals: list[SttEvent] = []
        while self._waiting and self._waiting[0].is_whole:
            one = self._waiting.popleft()
            self._forget(one)
            finals.append(
                Transcript(
                    text=one.text,
                    is_final=True,
                    utterance_id=one.id,
                    language=one.language or self._language,
                )
            )
        if finals and self._waiting:
            self._waiting[0].asked_at = self._now()
        return finals

    def _forget(self, utterance: _Utterance) -> None:
        for item_id in utterance.items:
            self._items.pop(item_id, None)
            self._bury(item_id)

    def _bury(self, item_id: str) -> None:
        self._dead[item_id] = None
        if len(self._dead) > REMEMBERED:
            del self._dead[next(iter(self._dead))]

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[SttEvent]:
        """Nobody's words are made up: what is owed has to be told to another link."""
        events: list[SttEvent] = []
        if code == EXPIRED_CODE and EXPIRED_REASON in reason.lower():
            message = "the session has lasted as long as one may"
            events.append(
                ServiceFailed(
                    category=ErrorCategory.SESSION_EXPIRED, message=message, is_fatal=True
                )
            )
            is_clean = False
        return [*events, LinkClosed(is_clean=is_clean, reason=reason, code=code)]


def _append(sound: bytes) -> WireMessage:
    return _encode(shared.Append(audio=sound)).decode()
