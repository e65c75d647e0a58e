"""Numbers as English words, and back."""

import re

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: value for value, word in enumerate(_ONES)} | {
    word: (index + 2) * 10 for index, word in enumerate(_TENS)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_HYPHEN = re.compile(r"(?<=[a-z])-(?=[a-z])")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[a-z]+|[+*/-]")


def number_words(value: int) -> str:
    """An integer from 0 to 999 in words, without hyphens, as it is spoken."""
    if not 0 <= value <= 999:
        raise ValueError(f"{value} is outside 0 to 999")
    if value < 20:
        return _ONES[value]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens - 2] + (f" {_ONES[ones]}" if ones else "")
    hundreds, rest = divmod(value, 100)
    return f"{_ONES[hundreds]} hundred" + (f" {number_words(rest)}" if rest else "")


def read_numbers(text: str) -> list[float]:
    """The numbers in a sentence, in order: digits, or words up to millions."""
    found: list[float] = []
    total = part = 0.0
    last = 0.0
    is_open = False

    def close() -> None:
        nonlocal total, part, is_open
        if is_open:
            found.append(total + part)
        total, part, is_open = 0.0, 0.0, False

    for token in _TOKEN.findall(_HYPHEN.sub(" ", text.lower())):
        if token[0].isdigit():
            close()
            found.append(float(token))
        elif token in _VALUES:
            value = _VALUES[token]
            # "twenty three" goes on; "three twenty" and "three four" are two numbers.
            goes_on = is_open and (last >= 100 or (last >= 20 and value < 10))
            if is_open and not goes_on:
                close()
            part += value
            last = value
            is_open = True
        elif token in _SCALES and is_open:
            scale = _SCALES[token]
            if scale == 100:
                part *= 100
            else:
                total, part = total + part * scale, 0.0
            last = scale
        elif token == "and" and is_open and last >= 100:
            continue
        else:
            close()
    close()
    return found
