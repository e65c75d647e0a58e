"""Puts pieces of text together for a service that joins them as they are.

A piece may be a whole sentence without the space that follows it, or a part of a word. Which it is
shows where two pieces meet: a space is added if there is none on either side, and the first ends
like a sentence, or is so long that nobody but a cutter of sentences made it.
"""

import re

_ENDS_SENTENCE = re.compile(r"\w[.!?…:;,]+[\"'”’)\]]*\Z")
_BEGINS_WORD = re.compile(r"[\"'“‘(\[]*[^\W\d]")
LONG = 100
"""Characters; words come in shorter pieces."""


def joint(before: str, after: str) -> str:
    """What belongs between two pieces that are not empty: a space, or nothing."""
    if before[-1].isspace() or after[0].isspace():
        return ""
    if len(before) >= LONG and before[-1].isascii():
        return " "
    is_sentence = " " in before.strip() or _BEGINS_WORD.match(after) is not None
    return " " if is_sentence and _ENDS_SENTENCE.search(before) and after[0].isalnum() else ""
