"""The words that an emulated recogniser tells before it was asked: those that cost nothing to find.

They are those of test speech. Real speech is understood when it is settled.
"""

from beluga_voice.testing.speech import WordReader


class HeardWords:
    """The words of a window of sound that grows, and begins anew when it was settled.

    It looks at each piece of sound once, so an hour costs sixty times as much as a minute.
    """

    def __init__(self) -> None:
        self._reader = WordReader()
        self.words: list[str] = []
        """All that are whole, in order."""

    @property
    def text(self) -> str:
        """Those, as a text."""
        return " ".join(self.words)

    def hear(self, pcm: bytes) -> list[str]:
        """Take more sound; the words that are whole with it."""
        found = self._reader.read(pcm)
        self.words += found
        return found

    def clear(self) -> None:
        """Begin a new window."""
        self._reader = WordReader()
        self.words = []
