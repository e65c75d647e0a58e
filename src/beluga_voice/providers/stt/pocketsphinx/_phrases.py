"""A language model of the phrases an agent expects; pure.

The model is a trigram model with back-off in the ARPA format: every phrase is a sentence, half of
the probability after any words is kept for other words of the phrases. So the phrases themselves
are strongly preferred, and mixtures of their parts stay possible.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")
_KEPT = 0.5
"""The share of probability that stays with what was seen."""
_ALONE = 0.002
"""The share of all words of the language that is given to those of the phrases out of their place.
The rest is nobody's. Were it 1, any speech would pass for a few short words of a few phrases."""
_NEVER = -99.0

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def words_of(phrase: str) -> tuple[str, ...]:
    """The words of a phrase as they are spoken: lower case, numbers spelt out."""
    words: list[str] = []
    for token in _TOKEN.findall(phrase.lower().replace("’", "'")):
        words += spoken_number(token) if token.isdigit() else [token]
    return tuple(words)


def spoken_number(digits: str) -> list[str]:
    """A number below a hundred as one says it, a longer one digit by digit."""
    number = int(digits)
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    if number < 20:
        return [_ONES[number]]
    tens, ones = divmod(number, 10)
    return [_TENS[tens - 2], *([_ONES[ones]] if ones else [])]


type _Counts = defaultdict[tuple[str, ...], Counter[str]]


def arpa(sentences: Iterable[Sequence[str]]) -> str:
    """A trigram model of the sentences, as the text of an ARPA file.

    Raises `ValueError` if there is no word in them.
    """
    counts: list[_Counts] = [defaultdict(Counter) for _ in range(3)]
    for sentence in sentences:
        if not sentence:
            continue
        tokens = ("<s>", *sentence, "</s>")
        for at in range(1, len(tokens)):
            for order in range(min(at, 2) + 1):
                counts[order][tokens[at - order : at]][tokens[at]] += 1
    if not counts[0]:
        raise ValueError("the phrases hold no word")
    probabilities: list[dict[tuple[str, ...], float]] = [{}, {}, {}]
    backoffs: dict[tuple[str, ...], float] = {}
    for order, histories in enumerate(counts):
        for history, following in histories.items():
            kept = _KEPT if order else _ALONE
            total = sum(following.values())
            seen = lower = 0.0
            for word, count in following.items():
                probability = kept * count / total
                probabilities[order][*history, word] = probability
                seen += probability
                if order:
                    lower += _given(history[1:], word, probabilities, backoffs)
            if order:
                backoffs[history] = (1 - seen) / (1 - lower) if lower < 0.999 else 1e-9
    probabilities[0]["<s>",] = 0.0
    return _written(probabilities, backoffs)


def _given(
    history: tuple[str, ...],
    word: str,
    probabilities: list[dict[tuple[str, ...], float]],
    backoffs: dict[tuple[str, ...], float],
) -> float:
    """The probability of a word after others, by the orders that are complete."""
    known = probabilities[len(history)].get((*history, word))
    if known is not None:
        return known
    return backoffs.get(history, 1.0) * _given(history[1:], word, probabilities, backoffs)


def _written(
    probabilities: list[dict[tuple[str, ...], float]], backoffs: dict[tuple[str, ...], float]
) -> str:
    lines = ["\\data\\"]
    lines += [f"ngram {order}={len(grams)}" for order, grams in enumerate(probabilities, 1)]
    for order, grams in enumerate(probabilities, 1):
        lines += ["", f"\\{order}-grams:"]
        for gram, probability in sorted(grams.items()):
            line = f"{_logarithm(probability):.4f} {' '.join(gram)}"
            if order < 3:
                line += f" {_logarithm(backoffs.get(gram, 1.0)):.4f}"
            lines.append(line)
    return "\n".join([*lines, "", "\\end\\", ""])


def _logarithm(probability: float) -> float:
    return math.log10(probability) if probability > 0 else _NEVER


# ── words that are in no dictionary ─────────────────────────────────────────────────────────

_SOUNDS = {
    "tion": "SH AH N", "sion": "ZH AH N", "ight": "AY T", "ough": "AO", "augh": "AO",
    "tch": "CH", "sch": "SH", "igh": "AY", "eau": "OW", "dge": "JH",
    "ch": "CH", "sh": "SH", "th": "TH", "ph": "F", "wh": "W", "ck": "K", "ng": "NG", "qu": "K W",
    "gh": "G", "kn": "N", "wr": "R", "ee": "IY", "ea": "IY", "oo": "UW", "ou": "AW", "ow": "OW",
    "ai": "EY", "ay": "EY", "ey": "IY", "oi": "OY", "oy": "OY", "au": "AO", "aw": "AO",
    "ie": "IY", "ei": "AY", "eu": "Y UW", "oa": "OW", "ar": "AA R", "er": "ER", "ir": "ER",
    "ur": "ER", "or": "AO R",
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH",
    "j": "JH", "k": "K", "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R",
    "s": "S", "t": "T", "u": "AH", "v": "V", "w": "W", "x": "K S", "y": "IY", "z": "Z",
}  # fmt: skip
_LONG = {"a": "EY", "e": "IY", "i": "AY", "o": "OW", "u": "UW"}
_FINAL = {"a": "AH", "e": "IY", "i": "IY", "o": "OW", "u": "UW"}
_SILENT_E = re.compile(r"([aeiou])([^aeiouywx])e$")
_SOFT_C = re.compile(r"c(?=[eiy])")
_DOUBLE = re.compile(r"([bcdfgklmnprstvz])\1")


def guessed_pronunciation(word: str) -> str | None:
    """How a word may sound, in the model's phonemes; `None` if it has no letter of English.

    Letter by letter, with the commonest English groups: good enough that a name is found among
    a few phrases, no more.
    """
    plain = re.sub("[^a-z]", "", word.translate(_PLAIN))
    rest = _DOUBLE.sub(r"\1", _SOFT_C.sub("s", plain))
    ending: list[str] = []
    silent = _SILENT_E.search(rest)
    if silent is not None and silent.start() > 0:
        ending = [_LONG[silent[1]], _SOUNDS[silent[2]]]
        rest = rest[: silent.start()]
    sounds: list[str] = []
    at = 0
    while at < len(rest):
        group = next(
            rest[at : at + length] for length in (4, 3, 2, 1) if rest[at : at + length] in _SOUNDS
        )
        at += len(group)
        # A vowel at the end is full, as in "beluga" and "mako".
        is_last = at == len(rest) and not ending and bool(sounds)
        sounds.append(_FINAL.get(group, _SOUNDS[group]) if is_last else _SOUNDS[group])
    return " ".join([*sounds, *ending]) or None


_PLAIN = str.maketrans("àáâãäåçèéêëìíîïñòóôõöøùúûüýÿ", "aaaaaaceeeeiiiinoooooouuuuyy")
