"""What was heard of each response: the ledger.

How it works. Sound of a response is *generated* when it comes from the service, *sent* when it is
handed to the person's line, and *heard* when it has sounded there. The line plays what it is sent
in order and without a gap while it has any, so the time until which it is busy (`sounding_until`)
tells at any moment how much of what was sent is still ahead: that much was not heard.

Words are heard once their last sample has sounded. Where the service gives no times, words are
placed by proportion: that many characters of the text for that part of the sound. A service that
writes a response down before it speaks it may be cut in the middle; how long the whole would have
sounded is then reckoned by the pace of the last response, so that no word counts as heard too soon.

A pause takes back what was sent and not heard, from the beginning of the word that was cut on: that
part is sent again when the response goes on.

A response lives from its start until it is *settled*: heard to its end, cut, or failed. Sound that
arrives for a response that is no longer alive is dropped, whoever sent it.
"""

import re
from collections import deque
from dataclasses import dataclass, field

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.events import (
    Counted,
    Ledger,
    Occasion,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStatus,
    ResponseText,
    Say,
    SayId,
    TextStage,
)

REMEMBERED = 64
"""How many settled responses are remembered, so that what comes late for them is known as late."""

LOOK_AHEAD = 24
"""So many characters further on, a spoken word is looked for in the planned text."""

CHARACTERS_PER_SECOND = 15
"""The pace of speech, with its spaces and pauses, until a response has shown another."""

MOST_LAG_SECONDS = 2.0
"""A person whose device is further behind is not there, or does not listen."""

LONGEST_REWIND_SECONDS = 2
"""A word that began longer ago is not begun again after a pause."""

_UNSPACED = re.compile("[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


@dataclass(slots=True)
class Response:
    """One response in the ledger; counts are samples at the output rate."""

    id: ResponseId
    origin: ResponseOrigin
    say: Say | None = None
    """The words of the application that it speaks, if it does."""
    began: float | None = None
    """When its first sound left for the person, in seconds."""
    generated: int = 0
    overdue: float | None = None
    """When more of it has to have come, in seconds, while all there was has been sent."""
    is_silent: bool = False
    """Whether all that was sent of it is digital silence."""
    is_abandoned: bool = False
    """Whether no more of it is awaited, and who made it was told."""
    over: int = 0
    """How much of what was sent had sounded when it let another be heard first."""
    sent: int = 0
    status: ResponseStatus | None = None
    """How generating it ended; `None` while it goes on."""
    samples_per_character: float = 0.0
    """The pace that is expected of it."""
    early_characters: int = 0
    """How much of its text was there before its first sound."""
    texted: int = 0
    """How much of its sound was there when words came last."""
    trailing: int = 0
    """How much of its text came behind that sound."""
    held: int = 0
    """How much of it had been heard when it was held."""
    lead: int = 0
    """How much digital silence was sent of it before its first sound."""
    rewind: int = 0
    """How far before that it goes on."""
    asked: str | None = None
    """The words that were to be spoken, where a service speaks for an agent."""
    planned: list[str] = field(default_factory=list[str])
    spoken: list[ResponseText] = field(default_factory=list[ResponseText])

    @property
    def occasion(self) -> Occasion:
        """On what occasion it is spoken."""
        return Occasion.NORMAL if self.say is None else self.say.occasion

    @property
    def say_id(self) -> SayId | None:
        """Which `say` it carries out, if any."""
        return None if self.say is None else self.say.say_id

    @property
    def is_generated(self) -> bool:
        """Whether nothing more of it will come."""
        return self.status is not None

    @property
    def was_silent(self) -> bool:
        """Whether it is over, and nothing of it could be heard."""
        return self.is_silent and self.is_generated and self.sent == self.generated

    @property
    def has_failed(self) -> bool:
        """Whether it came to nothing: it failed, or its words were made and never any sound."""
        is_mute = self.is_generated and self.generated == 0 and bool(self.text)
        return self.status is ResponseStatus.FAILED or is_mute or self.was_silent

    @property
    def has_times(self) -> bool:
        """Whether it was told where its words sound."""
        return any(part.end is not None for part in self.spoken)

    @property
    def text(self) -> str:
        """All the words that were made for it."""
        return "".join(self.planned) or "".join(part.delta for part in self.spoken)

    @property
    def sounded_text(self) -> str:
        """Its words, without the last ones if they were told ahead of a sound that did not come."""
        text = self.text
        is_whole = self.status is ResponseStatus.COMPLETED or self.texted < self.generated
        tells_ahead = 0 < self.early_characters < len(text)
        return text if is_whole or not tells_ahead else text[: len(text) - self.trailing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a response."""

    response: Response
    outcome: ResponseOutcome
    heard: int
    heard_text: str


class Playback:
    """The ledger of all responses of a session, at one output rate."""

    __slots__ = (
        "_alive",
        "_late",
        "_samples_per_character",
        "is_reported",
        "lag",
        "rate",
        "sounding_until",
    )

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.sounding_until = 0.0
        self.lag = 0.0
        """How long after the line, by the clock, the person's device plays, in seconds."""
        self.is_reported = False
        """Whether the line has told that."""
        self._samples_per_character = rate / CHARACTERS_PER_SECOND
        self._alive: dict[ResponseId, Response] = {}
        self._late: deque[ResponseId] = deque(maxlen=REMEMBERED)

    @property
    def alive(self) -> tuple[Response, ...]:
        """Responses that are not settled, oldest first."""
        return tuple(self._alive.values())

    @property
    def is_idle(self) -> bool:
        """Whether no response is alive."""
        return not self._alive

    @property
    def is_midway(self) -> bool:
        """Whether there is one living response, of which more is to be made or sent."""
        if len(self._alive) != 1:
            return False
        (response,) = self._alive.values()
        return response.status is None or response.sent < response.generated

    def get(self, response_id: ResponseId) -> Response | None:
        """The living response of that id."""
        return self._alive.get(response_id)

    def is_settled(self, response_id: ResponseId) -> bool:
        """Whether that response is over, so that anything for it comes too late."""
        return response_id in self._late

    def start(self, response_id: ResponseId, origin: ResponseOrigin) -> Response:
        """Open the account of a response."""
        response = Response(response_id, origin, samples_per_character=self._samples_per_character)
        self._alive[response_id] = response
        return response

    def sounds(self, response: Response) -> None:
        """Its first sound came: responses are heard in that order, whichever was started first."""
        response.early_characters = len(response.text)
        del self._alive[response.id]
        self._alive[response.id] = response

    def dry(self, now: float) -> list[Response]:
        """Those that are stuck in their middle: more is to come, and all there was has sounded."""
        if self.sounding_until > now:
            return []
        return [
            one
            for one in self._alive.values()
            if one.sent and one.sent == one.generated and not one.is_generated
        ]

    def yields(self, response: Response) -> None:
        """What comes of it from now on is heard behind the others."""
        response.over = response.sent
        del self._alive[response.id]
        self._alive[response.id] = response

    def refuse(self, response_id: ResponseId) -> None:
        """A response that nobody wants: whatever comes for it is late."""
        self._late.append(response_id)

    def sent(self, response: Response, samples: int, sounding_until: float) -> None:
        """`samples` were handed to the line, which is busy until then."""
        response.sent += samples
        self.sounding_until = sounding_until + self.lag

    def reported(self, unheard: float, at: float, now: float) -> bool:
        """The line tells that so much of all it was sent had not come out at `at`, in seconds.

        Whether that says anything: not while nothing sounds or has come out, nor of a device that
        is far behind.
        """
        lag = self.lag + unheard - (self.sounding_until - at)
        sent = sum(one.sent - one.over for one in self._alive.values())
        if not 0 < round(unheard * self.rate) < sent:
            return False
        if self.sounding_until <= at or lag > MOST_LAG_SECONDS:
            return False
        lag = max(lag, 0.0)
        if self.sounding_until > now:
            self.sounding_until += lag - self.lag
        self.lag, self.is_reported = lag, True
        return True

    def heard(self, response: Response, now: float) -> int:
        """How many samples of it have sounded."""
        ahead = round((self.sounding_until - now) * self.rate)
        if ahead <= 0:
            return response.sent
        for later in reversed(self._alive.values()):
            if later is response:
                break
            ahead -= later.sent - later.over
        return response.sent - min(max(ahead, 0), response.sent - response.over)

    def end_of(self, response: Response) -> float | None:
        """When its last sample will have sounded; `None` while that is not known."""
        if not response.is_generated or response.sent < response.generated:
            return None
        later = 0
        for other in reversed(self._alive.values()):
            if other is response:
                break
            later += other.sent - other.over
        return self.sounding_until - later / self.rate

    def settle(self, response: Response, outcome: ResponseOutcome, now: float) -> Settled:
        """Close its account."""
        heard = 0 if response.is_silent else self.heard(response, now)
        is_whole = outcome is ResponseOutcome.HEARD
        # Some of the words of one that broke off may have no sound.
        is_whole = is_whole and response.status is not ResponseStatus.INCOMPLETE
        text = response.text if is_whole else heard_text(response, heard)
        if is_whole and text and response.generated:
            self._samples_per_character = response.generated / len(text)
        del self._alive[response.id]
        self._late.append(response.id)
        return Settled(response=response, outcome=outcome, heard=heard, heard_text=text)

    @property
    def sounding(self) -> Response | None:
        """The response that sounds: the oldest of which anything was sent."""
        return next((one for one in self._alive.values() if one.sent), None)

    def hold(self, now: float) -> int:
        """The line falls silent now, and what was not heard is taken back.

        Gives how many of the samples that were sent are to be sent again: what was ahead, and
        what was heard already of the word that was cut.
        """
        back = 0
        longest = LONGEST_REWIND_SECONDS * self.rate
        for response in self._alive.values():
            before, heard = response.sent, self.heard(response, now)
            response.rewind = heard - word_start(response, heard, longest)
            back += before - heard + response.rewind
            response.held = heard
        for response in self._alive.values():
            response.sent = response.held
        self.sounding_until = min(self.sounding_until, now)
        return back

    def resume(self) -> None:
        """What was taken back is being sent again."""
        for response in self._alive.values():
            response.sent -= response.rewind
            response.rewind = 0

    def cleared(self, now: float) -> None:
        """The line was told to fall silent."""
        self.sounding_until = min(self.sounding_until, now)

    def ledger(self, settled: Settled) -> Ledger:
        """All that was counted of a response."""
        response, heard = settled.response, settled.heard
        is_whole = settled.heard_text == response.text
        written = count_words(response.text)
        is_guess = not is_whole and not response.has_times

        def counted(samples: int, words: int, *, is_by_clock: bool = False) -> Counted:
            return Counted(
                words=written if is_whole else words,
                ms=self.milliseconds(samples),
                words_are_estimated=is_guess and samples > 0,
                ms_is_estimated=is_by_clock and samples > 0 and not self.is_reported,
            )

        def begun(samples: int, most: int) -> int:
            return most if is_whole else min(words_begun(response, samples), most)

        queued = begun(response.generated, written)
        sent = begun(response.sent, queued)
        audible = begun(heard, sent)
        return Ledger(
            generated=Counted(words=written, ms=self.milliseconds(response.generated)),
            queued=counted(response.generated, queued),
            sent=counted(response.sent, sent),
            audible=counted(heard, audible, is_by_clock=True),
            heard=counted(heard, min(count_words(settled.heard_text), audible), is_by_clock=True),
        )

    def milliseconds(self, samples: int) -> float:
        """The length of `samples` of response audio."""
        return to_milliseconds(samples, self.rate)


def heard_text(response: Response, heard: int) -> str:
    """The words of `response` whose sound ended within its first `heard` samples."""
    if heard <= 0:
        return ""
    timed = [part for part in response.spoken if part.end is not None]
    if not timed:
        return _proportion(response.sounded_text, heard, _whole(response))
    if not response.planned:
        return _by_times(response, heard)
    return _prefix(response.text, timed, heard)


def count_words(text: str) -> int:
    """How many words; characters where the script does not separate them."""
    return len(text.split()) if _has_spaces(text) else len("".join(text.split()))


def words_begun(response: Response, samples: int) -> int:
    """How many of its words have begun in its first `samples`."""
    if samples <= 0:
        return 0
    if not response.has_times:
        text = response.sounded_text
        whole = max(_whole(response), 1)
        return count_words(text[: -(-len(text) * min(samples, whole) // whole)])
    position = 0
    for part in response.spoken:
        end = response.generated if part.end is None else part.end
        start = position if part.start is None else part.start
        if start < samples < end:
            return count_words(heard_text(response, samples)) + 1
        position = end
    return count_words(heard_text(response, samples))


def word_start(response: Response, heard: int, longest: int) -> int:
    """Where the word began that was cut at `heard`; `heard` itself where that is not known.

    The same for a word of which more than `longest` samples were heard.
    """
    for part in response.spoken:
        if part.start is not None and part.end is not None and part.start < heard < part.end:
            is_word = len(part.delta.split()) <= 1 and heard - part.start <= longest
            return part.start if is_word else heard
    return heard


def _whole(response: Response) -> int:
    """How long all its words sound, in samples, as far as it can be told."""
    text = response.text
    is_complete = response.status is ResponseStatus.COMPLETED
    if is_complete or response.early_characters < len(text):
        return response.generated  # the words came with their sound
    return max(response.generated, round(len(text) * response.samples_per_character))


def _by_times(response: Response, heard: int) -> str:
    """Put together the parts that were heard, and of the part in mid-sound its share."""
    text = response.text
    length = position = 0
    for part in response.spoken:
        end = response.generated if part.end is None else part.end
        start = position if part.start is None else part.start
        if end > heard:
            if start < heard:
                length += len(part.delta) * (heard - start) // (end - start)
            break
        length += len(part.delta)
        position = end
    return _whole_words(text, length)


def _prefix(text: str, spoken: list[ResponseText], heard: int) -> str:
    """Find the heard words one after another in the planned text, and take it up to the last."""
    end = 0
    for part in spoken:
        assert part.end is not None
        if part.end > heard:
            break
        found = _find(part.delta.strip(), text, end)
        if found is not None:
            end = found
    while end < len(text) and not text[end].isspace() and not text[end].isalnum():
        end += 1
    return _whole_words(text, end)


def _find(word: str, text: str, start: int) -> int | None:
    """Where the next `word` from `start` on ends, whatever its case.

    It is looked for in a short stretch only: a word that the service wrote otherwise ("four" for
    "4") must not be taken for one of a later sentence.
    """
    if not word:
        return None
    pattern = rf"(?<!\w){re.escape(word)}(?!\w)" if _has_spaces(text) else re.escape(word)
    end = start + len(word) + LOOK_AHEAD
    match = re.compile(pattern, re.IGNORECASE).search(text, start, end)
    return None if match is None else match.end()


def _proportion(text: str, part: int, whole: int) -> str:
    """The whole words in the first `part / whole` of `text`."""
    if whole <= 0:
        return ""
    return _whole_words(text, len(text) * min(part, whole) // whole)


def _whole_words(text: str, length: int) -> str:
    """The first `length` characters of `text`, less a word that is not whole."""
    if _has_spaces(text):
        while 0 < length < len(text) and not text[length].isspace():
            length -= 1
    return text[:length].strip()


def _has_spaces(text: str) -> bool:
    """Whether the script puts spaces between words: Chinese, Japanese and Thai do not."""
    return _UNSPACED.search(text) is None


def planned(response: Response, event: ResponseText) -> None:
    """Note words of a response."""
    if response.texted < response.generated:
        response.texted, response.trailing = response.generated, 0
    response.trailing += len(event.delta)
    if event.stage is TextStage.PLANNED:
        response.planned.append(event.delta)
    else:
        response.spoken.append(event)
