"""Cuts streaming text into sentences.

How it works. Text comes in pieces of any size. A sentence ends at a mark that ends sentences and is
followed by white space, unless the mark belongs to an abbreviation or a numbered item; what is left
at the end is a sentence too. A sentence that does not want to end is cut at the last comma or space
before the limit, so that speech can begin.
"""

import re

MAX_CHARACTERS = 240
LOOK_BACK = 8
"""Characters before a new piece that may belong to a mark which it completes."""
_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:mr|mrs|ms|dr|prof|st|no|vs|etc|e\.g|i\.e|approx|inc|ltd|jr|sr|[a-z]|\d{1,2})\.$",
    re.IGNORECASE,
)


class Sentences:
    """Text in, whole sentences out; nothing is lost but the space between them."""

    def __init__(self, *, limit: int = MAX_CHARACTERS) -> None:
        self._limit = limit
        self._text = ""

    def feed(self, piece: str) -> list[str]:
        """The sentences that `piece` completes."""
        # A mark counts once the space after it is there: the last character may be looked at again.
        searched = max(len(self._text) - LOOK_BACK, 0)
        self._text += piece
        found: list[str] = []
        start = 0
        while (end := _END.search(self._text, searched)) is not None:
            searched = end.end()
            if not _ABBREVIATION.search(self._text[start : end.end()]):
                _add(found, self._text[start : end.end()])
                start = end.end()
        if start:
            self._text = self._text[start:]
        while len(self._text) > self._limit:
            cut = self._cut()
            _add(found, self._text[:cut])
            self._text = self._text[cut:]
        return found

    def flush(self) -> list[str]:
        """What is left."""
        found: list[str] = []
        _add(found, self._text)
        self._text = ""
        return found

    def _cut(self) -> int:
        for mark in (", ", "; ", ": ", " "):
            cut = self._text.rfind(mark, 1, self._limit)
            if cut > 0:
                return cut + 1
        return self._limit


def _add(found: list[str], sentence: str) -> None:
    sentence = sentence.strip()
    if sentence:
        found.append(sentence)
