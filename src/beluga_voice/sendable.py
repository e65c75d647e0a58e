"""Text as a wire can carry it."""


def sendable(text: str) -> str:
    """That text, with a question mark for each half of a character.

    A model that is cut off inside of one may leave such a half, and no JSON can hold it.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
