"""What a voice was given and has not spoken, for the one that comes after it.

How it works. Of each context that is not done, the text is kept, and how much sound came. When
another voice takes over, it is given the text after the last word whose sound came, and what it
says of its words and their times is moved to where its sound begins. A word that broke off in the
middle is spoken again; no whole word is.

Which word was the last is known where the service tells the times of words, give or take what it
tells late. Elsewhere it is
reckoned by proportion, at the pace of the last context that was spoken whole, or so many characters
a second before there was one: there, the seam may be some words off. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    TtsCommand,
    TtsEvent,
)

CHARACTERS_PER_SECOND = 15
"""The pace of speech, with its spaces and pauses, until a voice has shown its own."""
LOOK_AHEAD = 24
"""So many characters further on, a spoken word is looked for in the text."""
LATE_SECONDS = 0.3
"""How long after its sound a voice may tell a word."""
_WORD = re.compile(r"\S+")

type Mark = dict[ContextId, tuple[int, int, int, bool]]
"""Of contexts, how far they are: see `_Context`."""


@dataclass(slots=True)
class Pace:
    """How fast voices speak: share one among the links of a provider."""

    seconds_per_character: float = 1 / CHARACTERS_PER_SECOND


@dataclass(slots=True)
class _Context:
    """One context; its text is all pieces, one after the other."""

    pieces: list[str] = field(default_factory=list[str])
    is_finished: bool = False
    samples: int = 0
    """How much sound came, of all voices."""
    moved: int = 0
    """Where the sound of the present voice begins."""
    told: int = 0
    """Up to where in the text the voice has told its words,"""
    told_at: int = 0
    """and where in the sound that is."""
    has_times: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Unspoken:
    """The contexts of one text-to-speech link, over all voices that speak on it."""

    __slots__ = ("_block", "_contexts", "_has_word_times", "_pace", "_rate")

    def __init__(
        self, output: AudioFormat, *, has_word_times: bool, pace: Pace | None = None
    ) -> None:
        self._has_word_times = has_word_times
        """Whether times of words are passed on: all voices have to tell them, or none does."""
        self._block = output.block_bytes
        self._rate = output.rate
        self._pace = pace or Pace()
        self._contexts: dict[ContextId, _Context] = {}

    def sent(self, command: TtsCommand) -> None:
        """A command of the user of the link."""
        match command:
            case SpeakText():
                if command.text:
                    _add(self._context(command.context_id).pieces, command.text)
            case FinishSpeech():
                self._context(command.context_id).is_finished = True
            case CancelSpeech():
                self._contexts.pop(command.context_id, None)

    def received(self, event: TtsEvent) -> Sequence[TtsEvent]:
        """An event of the present voice, and what is passed on of it."""
        match event:
            case SpeechAudio():
                context = self._contexts.get(event.context_id)
                if context is not None:
                    context.samples += len(event.pcm) // self._block
            case SpeechWords():
                context = self._contexts.get(event.context_id)
                if context is not None:
                    event = self._words(event, context)
                if not self._has_word_times:
                    return ()
            case SpeechDone():
                context = self._contexts.pop(event.context_id, None)
                if context is not None and context.samples and context.text:
                    seconds = context.samples / self._rate
                    # With the space after the last word, as all the others have one.
                    self._pace.seconds_per_character = seconds / (len(context.text) + 1)
            case _:
                pass
        return (event,)

    def again(self) -> tuple[list[TtsCommand], list[TtsEvent]]:
        """What the next voice is told, and what is owed without it."""
        told: list[TtsCommand] = []
        owed: list[TtsEvent] = []
        for context_id, context in list(self._contexts.items()):
            tells = self._has_word_times or context.has_times
            late = LATE_SECONDS * self._rate if tells else None
            pace = self._pace.seconds_per_character * self._rate
            context.told = _spoken(context, pace, late)
            context.told_at = context.moved = context.samples
            context.has_times = False
            rest = _after(context)
            told += [SpeakText(context_id=context_id, text=text) for text in rest]
            if not context.is_finished:
                continue
            if rest or not context.samples:
                told.append(FinishSpeech(context_id=context_id))
            else:
                del self._contexts[context_id]
                owed.append(SpeechDone(context_id=context_id))
        return told, owed

    def doubts(self, event: TtsEvent) -> bool:
        """Nothing that a voice says: see `Unheard.doubts`."""
        return False

    def mark(self) -> Mark:
        """How far everything is, for `back`."""
        return {
            context_id: (one.told, one.told_at, one.moved, one.has_times)
            for context_id, one in self._contexts.items()
        }

    def back(self, mark: Mark) -> None:
        """The voice that spoke when that was marked speaks on, and no other one has spoken."""
        for context_id, (told, told_at, moved, has_times) in mark.items():
            context = self._contexts.get(context_id)
            if context is not None:
                context.told, context.told_at = told, told_at
                context.moved, context.has_times = moved, has_times

    def _context(self, context_id: ContextId) -> _Context:
        return self._contexts.setdefault(context_id, _Context())

    def _words(self, event: SpeechWords, context: _Context) -> SpeechWords:
        moved = context.moved
        words: list[TimedWord] = []
        for word in event.words:
            word = replace(word, start=word.start + moved, end=word.end + moved)
            words.append(word)
            context.told = _end_of(word.text, context.text, context.told)
            context.told_at = word.end
            context.has_times = True
        return event if not moved else SpeechWords(context_id=event.context_id, words=tuple(words))


def _add(pieces: list[str], text: str) -> None:
    """Sentences may come without the space between them; parts of a word have none."""
    last = pieces[-1][-1] if pieces else " "
    is_apart = not last.isalnum() and not last.isspace() and not text[0].isspace()
    pieces.append(f" {text}" if is_apart else text)


def _end_of(word: str, text: str, start: int) -> int:
    """Where that word, or whatever stands for it, ends in the text from `start` on."""
    word = word.strip()
    end = start + len(word) + LOOK_AHEAD
    found = re.compile(re.escape(word), re.IGNORECASE).search(text, start, end) if word else None
    if found is None:  # it was written otherwise: "four" for "4"
        found = _WORD.search(text, start)
    return start if found is None else found.end()


def _spoken(context: _Context, pace: float, late: float | None) -> int:
    """Up to where the text was spoken.

    Where the voice tells its words, those it has not told are taken for spoken only if they should
    have ended `late` samples ago: it may tell them a little after their sound.
    """
    start = context.told
    if start and context.has_times:
        pace = context.told_at / (start + 1)
    came = context.samples - context.told_at
    spoken = start
    for word in _WORD.finditer(context.text, start):
        # With the space after it, for the pace counts spaces too. Without times, a word of which
        # more than half was spoken is taken for spoken: saying it twice would be worse.
        length = word.end() - start + 1
        whole = (length - len(word[0]) / 2) * pace if late is None else length * pace + late
        if whole > came:
            break
        spoken = word.end()
    return spoken


def _after(context: _Context) -> list[str]:
    """The pieces that are left to be spoken, if there is anything in them to be heard."""
    position = 0
    rest: list[str] = []
    for piece in context.pieces:
        begin = max(context.told - position, 0)
        position += len(piece)
        if begin < len(piece):
            rest.append(piece[begin:] if rest else piece[begin:].lstrip())
    return rest if any(map(str.isalnum, "".join(rest))) else []
