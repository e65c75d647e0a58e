"""How much of what was to be said was said."""

import re
from difflib import SequenceMatcher

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def faithfulness(asked: str, spoken: str) -> float:
    """The share of words that agree, in order: 0 to 1. Case and punctuation do not count."""
    wanted, said = _words(asked), _words(spoken)
    if not wanted and not said:
        return 1.0
    return round(SequenceMatcher(None, wanted, said, autojunk=False).ratio(), 3)


def _words(text: str) -> list[str]:
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]
