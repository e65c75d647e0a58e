"""Cuts streaming text into sentences.

How it works. Text comes in pieces of any size. A sentence ends at a mark that ends sentences and is
followed by white space, unless the mark belongs to an abbreviation or a numbered item; what is left
at the end is a sentence too. A sentence that does not want to end is cut at the last comma or space
before the limit, so that speech can begin.
"""

import re

MAX_CHARACTERS = 240
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n")
_MARKS = ".!?…\"'”’)]"
"""What the first kind of end is made of."""
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|approx|inc|ltd|jr|sr|[a-z])\.$"
    # "No." alone is an answer, and a number ends a sentence as often as it begins an item.
    r"|\S\sno\.$|^\s*\d{1,2}\.$",
    re.IGNORECASE,
)


class Sentences:
    """Text in, whole sentences out; nothing is lost but the space between them."""

    def __init__(self, *, limit: int = MAX_CHARACTERS) -> None:
        self._limit = limit
        self._text = ""
        self._searched = 0
        """Up to where no mark ends a sentence, whatever follows."""

    def feed(self, piece: str) -> list[str]:
        """The sentences that `piece` completes; how the text is cut into pieces changes nothing."""
        self._text += piece
        found: list[str] = []
        start = 0
        while (end := self._end(start)) is not None:
            _add(found, self._text[start:end])
            start = self._searched = end
        if start:
            self._text = self._text[start:]
            self._searched -= start
        return found

    def flush(self) -> list[str]:
        """What is left."""
        found: list[str] = []
        _add(found, self._text)
        self._text = ""
        self._searched = 0
        return found

    def _end(self, start: int) -> int | None:
        """Where the sentence that begins at `start` ends; `None` while that cannot be known."""
        text, limit = self._text, start + self._limit
        # One more than the limit: a mark counts once the space after it is there.
        while (mark := _END.search(text, self._searched, limit + 1)) is not None:
            self._searched = mark.end()
            if not _ABBREVIATION.search(text[start : mark.end()]):
                return mark.end()
        if len(text) > limit:
            return self._cut(start, limit)
        # Marks at the very end count if white space follows them.
        self._searched = max(self._searched, len(text.rstrip(_MARKS)))
        return None

    def _cut(self, start: int, limit: int) -> int:
        for mark in (", ", "; ", ": ", " "):
            cut = self._text.rfind(mark, start + 1, limit)
            if cut > 0:
                return cut + 1
        return limit


def _add(found: list[str], sentence: str) -> None:
    sentence = sentence.strip()
    if sentence:
        found.append(sentence)
