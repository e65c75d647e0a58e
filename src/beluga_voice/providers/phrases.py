"""How many likely phrases a recogniser takes, and how long they may be."""

from dataclasses import dataclass

from beluga_voice.errors import Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class PhraseLimits:
    """What a service says of the phrases that it takes; `None` is what it says nothing of."""

    max_phrases: int | None = None
    max_phrase_characters: int | None = None
    """Of each."""
    max_phrase_words: int | None = None
    """Of each."""
    max_characters: int | None = None
    """Of all together."""

    def taken(self, phrases: tuple[str, ...], provider: str) -> tuple[str, ...]:
        """The phrases without blanks around them and without empty ones.

        Raises `Unsupported`, with what to do, for more or longer ones than the service takes: it
        would refuse them, or pass over some without a word.
        """
        found = tuple(one for phrase in phrases if (one := " ".join(phrase.split())))
        longest = max(found, key=len, default="")
        wordy = max((len(one.split()) for one in found), default=0)
        total = sum(map(len, found))
        for what, count, most, advice in (
            ("", len(found), self.max_phrases, "leave out the least likely"),
            (" characters in each", len(longest), self.max_phrase_characters, "shorten them"),
            (" words in each", wordy, self.max_phrase_words, "split them"),
            (" characters in all", total, self.max_characters, "leave out the least likely"),
        ):
            if most is not None and count > most:
                message = f"phrases: it takes {most}{what}, and these are {count}; {advice}"
                raise Unsupported(f"{provider} cannot honour {message}", op="connect")
        return found
