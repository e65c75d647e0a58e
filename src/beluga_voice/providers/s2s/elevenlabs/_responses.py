"""The responses of an agent: where one begins and ends, and what of it is wanted.

A response is *open* from its first sound or words until its end is known. It may be *cut*, by us:
then nothing more of it is given but its end. One that nobody wanted before it began is *refused*:
nothing of it is given at all.
"""

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import AudioFormat, to_milliseconds, to_samples
from beluga_voice.events import (
    Interrupted,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sEvent,
    TextStage,
)
from beluga_voice.providers.s2s.elevenlabs._wire import Alignment
from beluga_voice.providers.s2s.elevenlabs._words import SpokenWord, WordTimes

WHOLE = 0.8
"""Of a response that is over, at least so much of the text was said to sound somewhere."""
MAX_EARLY = 256
"""Words that may wait for the text that they are a part of; the oldest are let go."""


class Responses:
    """What the agent says over one link.

    `is_unwanted` refuses what it says before the person said anything.
    """

    def __init__(self, *, link: int, is_unwanted: bool) -> None:
        self._link = link
        self._count = 0
        self._refuses_next = is_unwanted
        self._origin = ResponseOrigin.SAID
        self._from_agent: Converter | None = None
        self._rate = 0
        self.is_awaited = False
        """Whether the person waits for one that has not begun."""
        # ── the open one
        self.open_id: ResponseId | None = None
        """The one that is being made; `None` if there is none, or it is refused."""
        self._is_refused = False
        self._is_cut = False
        self._has_words = False
        self._pieces = 0
        self._first_event: int | None = None
        self._samples = 0
        self._times = WordTimes()
        self._early: list[SpokenWord] = []
        self._spoken_words = 0
        self._characters = self._aligned = 0
        """Of its text, and of those how many were said to sound somewhere."""
        # ── those before
        self._last: ResponseId | None = None
        self._is_last_over = False
        self._wordless: ResponseId | None = None
        self._is_wordless_cut = False
        self._interrupted_at: int | None = None

    def speaks(self, spoken: AudioFormat, wanted: AudioFormat) -> None:
        """The agent's sound has the one format, and the other is wanted."""
        self._from_agent = Converter(spoken, wanted)
        self._rate = wanted.rate

    @property
    def spoken_format(self) -> AudioFormat | None:
        """The format of the agent's sound, once it is known."""
        return None if self._from_agent is None else self._from_agent.source

    @property
    def progress(self) -> int | None:
        """How many pieces of sound and words came of the open one; `None` before any sound."""
        return self._pieces if self._is_open and self._pieces else None

    @property
    def _is_open(self) -> bool:
        return self._is_refused or self.open_id is not None

    # ── what is wanted ──────────────────────────────────────────────────────────────────────

    def want(self, origin: ResponseOrigin) -> None:
        """The next one is wanted, and why."""
        self._refuses_next = False
        self.is_awaited = True
        self._origin = origin

    def want_again(self) -> None:
        """The person goes on: what comes next answers that."""
        self._refuses_next = False

    def refuse_awaited(self) -> None:
        """One that has not begun is not wanted any more."""
        if self.is_awaited and not self._is_open:
            self._refuses_next = True

    def cut(self, response_id: ResponseId) -> None:
        """Give no more of it."""
        if response_id == self.open_id:
            self._is_cut = True
        if response_id == self._wordless:
            self._is_wordless_cut = True

    # ── what the agent does ─────────────────────────────────────────────────────────────────

    def sound(
        self,
        sound: bytes,
        event_id: int | None,
        alignment: Alignment | None,
        *,
        length_ms: float,
    ) -> list[S2sEvent]:
        """A piece of sound."""
        if not sound or self._from_agent is None or self._is_late(event_id):
            return []
        events: list[S2sEvent] = []
        self._open(event_id, events)
        self._pieces += 1
        if self.open_id is None or self._is_cut:
            return events
        at_ms = to_milliseconds(self._samples, self._rate)
        pcm = self._from_agent.feed(sound)
        if pcm:
            self._samples += len(pcm) >> 1
            events.append(ResponseAudio(response_id=self.open_id, pcm=pcm))
        if alignment is not None:
            self._aligned += len("".join(alignment.chars).replace(" ", ""))
            events += self._spoken(self._times.add(alignment, at_ms=at_ms, length_ms=length_ms))
        return events

    def words(self, text: str, event_id: int | None) -> list[S2sEvent]:
        """All the words of a response; they come with its first sound, or soon after."""
        if self._is_late(event_id):
            return []
        planned = TextStage.PLANNED
        if self._wordless is not None and not self._is_open:
            late, self._wordless = self._wordless, None
            if self._is_wordless_cut:
                return []
            return [ResponseText(response_id=late, delta=text, stage=planned)]
        events: list[S2sEvent] = []
        if self._is_open and self._has_words:
            events += self.finish(ResponseStatus.COMPLETED)
        self._open(event_id, events)
        self._has_words = True
        self._characters += len(text.replace(" ", ""))
        self._pieces += self._pieces > 0
        if self.open_id is not None and not self._is_cut:
            events.append(ResponseText(response_id=self.open_id, delta=text, stage=planned))
            early, self._early = self._early, []
            events += self._spoken(early)
        return events

    def complete(self, event_id: int | None) -> list[S2sEvent]:
        """The response is whole, unless it is an older one that is meant."""
        return [] if self._is_older(event_id) else self.finish(ResponseStatus.COMPLETED)

    def quiet(self) -> list[S2sEvent]:
        """Nothing came for a while: the response is over, though much may not have sounded."""
        if not self._is_cut and 0 < self._aligned < WHOLE * self._characters:
            return self.finish(ResponseStatus.INCOMPLETE, reason="the agent fell silent")
        return self.finish(ResponseStatus.COMPLETED)

    def person_spoke(self, event_id: int | None) -> list[S2sEvent]:
        """The person's words: the next response answers them."""
        events = [] if self._is_older(event_id) else self.finish(ResponseStatus.COMPLETED)
        if not self._is_open:
            self._wordless = None
            self.is_awaited = True
            self._origin = ResponseOrigin.TURN
        return events

    def interrupt(self, event_id: int | None) -> list[S2sEvent]:
        """The service stopped by itself; what came up to that event is not to be heard."""
        if event_id is not None:
            self._interrupted_at = max(event_id, self._interrupted_at or event_id)
        if self._is_older(event_id):
            return []
        self._wordless = None
        events: list[S2sEvent] = []
        if not self._is_refused and self._last is not None and not self._is_last_over:
            self._is_last_over = True
            events.append(Interrupted(response_id=self._last))
            self._is_cut = True
        return events + self.finish(ResponseStatus.CANCELLED, reason="interrupted")

    def finish(self, status: ResponseStatus, *, reason: str = "") -> list[S2sEvent]:
        """Nothing more of the open one comes."""
        response, self.open_id = self.open_id, None
        was_cut, self._is_cut, self._is_refused = self._is_cut, False, False
        if response is None:
            return []
        events: list[S2sEvent] = []
        if was_cut:
            if status is ResponseStatus.COMPLETED:
                status = ResponseStatus.CANCELLED
        else:
            events += self._rest(response)
            if not self._has_words:
                self._wordless, self._is_wordless_cut = response, False
        events.append(ResponseDone(response_id=response, status=status, reason=reason))
        return events

    # ── parts ───────────────────────────────────────────────────────────────────────────────

    def _open(self, event_id: int | None, events: list[S2sEvent]) -> None:
        """Begin a response, if none is open."""
        if self._is_open:
            return
        self._is_cut = self._has_words = self.is_awaited = False
        self._pieces = self._samples = self._spoken_words = 0
        self._characters = self._aligned = 0
        self._first_event = event_id
        self._times, self._early = WordTimes(), []
        self._wordless = None
        origin, self._origin = self._origin, ResponseOrigin.TURN
        if self._refuses_next:
            self._refuses_next, self._is_refused = False, True
            return
        if self._from_agent is not None:
            self._from_agent.clear()
        self._count += 1
        self.open_id = self._last = ResponseId(f"elevenlabs-{self._link}-r{self._count}")
        self._is_last_over = False
        events.append(ResponseStarted(response_id=self.open_id, origin=origin))

    def _rest(self, response: ResponseId) -> list[S2sEvent]:
        """What was held back of a response that is whole."""
        events: list[S2sEvent] = []
        if self._from_agent is not None and (pcm := self._from_agent.flush()):
            events.append(ResponseAudio(response_id=response, pcm=pcm))
        words = [*self._early, *self._times.rest()]
        self._early = []
        return events + self._words_of(response, words)

    def _spoken(self, words: list[SpokenWord]) -> list[S2sEvent]:
        """Words with their times; they wait for the text that they are a part of."""
        if not self._has_words or self.open_id is None:
            self._early = [*self._early, *words][-MAX_EARLY:]
            return []
        return self._words_of(self.open_id, words)

    def _words_of(self, response: ResponseId, words: list[SpokenWord]) -> list[S2sEvent]:
        events: list[S2sEvent] = []
        for word in words:
            space = " " if self._spoken_words else ""
            self._spoken_words += 1
            events.append(
                ResponseText(
                    response_id=response,
                    delta=space + word.text,
                    start=to_samples(word.start_ms, self._rate),
                    end=to_samples(word.end_ms, self._rate),
                )
            )
        return events

    def _is_late(self, event_id: int | None) -> bool:
        """Whether it was interrupted before it came."""
        at = self._interrupted_at
        return event_id is not None and at is not None and event_id <= at

    def _is_older(self, event_id: int | None) -> bool:
        """Whether what happened there was before the open response began."""
        first = self._first_event
        return self._is_open and event_id is not None and first is not None and event_id < first
