"""Text in pieces that fit into one append.

The service counts tokens (`o200k_base`) that we do not. Four letters are taken for one token, two
digits or signs, and any character that is not ASCII. The estimate may still be too low; what the
service refuses as too long is halved and sent again, after what was sent meanwhile.
"""

import re

_END = re.compile(r"[.!?…。！？]+[\"')\]]*\s+|\n+")
_SPACE = re.compile(r"\s+")


def tokens_of(text: str) -> int:
    """About how many tokens `text` has, rounded up."""
    return (_weight(text) + 3) // 4


def pieces_of(text: str, limit: int) -> list[str]:
    """`text` in pieces of at most `limit` tokens: at ends of sentences, else at spaces, else cut.

    Nothing but blanks at the ends of pieces is lost. Blank text gives no pieces.
    """
    pieces: list[str] = []
    rest = text.strip()
    while rest:
        head = rest[: _fitting(rest, limit * 4)]
        if len(head) < len(rest):
            cut = _last(_END, head) or _last(_SPACE, head) or len(head)
            head = rest[:cut]
        pieces.append(head.strip())
        rest = rest[len(head) :].strip()
    return pieces


def halves_of(text: str) -> list[str]:
    """`text` in two pieces of about the same length; one, if it cannot be divided."""
    if len(text) < 2:
        return [text]
    middle = len(text) // 2
    cut = _last(_END, text[:middle]) or _last(_SPACE, text[:middle]) or middle
    return [piece for piece in (text[:cut].strip(), text[cut:].strip()) if piece]


def _weight(text: str) -> int:
    return sum(_weight_of(char) for char in text)


def _weight_of(char: str) -> int:
    """Quarters of tokens."""
    if not char.isascii():
        return 4
    return 1 if char.isalpha() or char.isspace() else 2


def _fitting(text: str, weight: int) -> int:
    """How many characters of `text` weigh no more than that; at least one."""
    for place, char in enumerate(text):
        weight -= _weight_of(char)
        if weight < 0:
            return max(place, 1)
    return len(text)


def _last(pattern: re.Pattern[str], text: str) -> int:
    """Where the last match ends; 0 if there is none."""
    end = 0
    for found in pattern.finditer(text):
        end = found.end()
    return end
