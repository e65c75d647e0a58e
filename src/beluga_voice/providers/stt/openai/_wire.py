"""The messages of a transcription, where they are not those of every Realtime session.

Read from the types of the official SDK for Python, 3.52.0, on 2026-11-21.
"""

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import Usage
from beluga_voice.providers.answers import Answer, PostedWord
from beluga_voice.providers.openai.account import NAME, ErrorObject


class Language(msgspec.Struct):
    """A language that was heard."""

    code: str


class Charged(msgspec.Struct):
    """Tokens, or seconds."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float | None = None


class Completed(msgspec.Struct):
    """`conversation.item.input_audio_transcription.completed`."""

    item_id: str
    transcript: str = ""
    usage: Charged | None = None
    languages: list[Language] | None = None


class ErrorMessage(msgspec.Struct):
    """`error`."""

    error: ErrorObject


class Failed(msgspec.Struct):
    """`conversation.item.input_audio_transcription.failed`."""

    item_id: str
    error: ErrorObject = msgspec.field(default_factory=ErrorObject)


class Cleared(msgspec.Struct):
    """`input_audio_buffer.cleared`."""


class Commit(msgspec.Struct, tag_field="type", tag="input_audio_buffer.commit"):
    """The utterance ends here; an error about it quotes the name."""

    event_id: str


class Word(msgspec.Struct):
    """A word and where it sounds, in seconds of the file."""

    word: str
    start: float
    end: float


class Posted(msgspec.Struct):
    """What a posted file says."""

    text: str
    usage: Charged | None = None
    languages: list[Language] | None = None
    language: str | None = None
    words: list[Word] | None = None


_answers = msgspec.json.Decoder(Posted)


def read_answer(body: bytes) -> Answer:
    """The answer to a posted file; raises `BrokenProtocol`."""
    try:
        said = _answers.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    else:
        return Answer(
            text=said.text,
            words=tuple(
                PostedWord(text=one.word, start=one.start, end=one.end) for one in said.words or ()
            ),
            language=next((one.code for one in said.languages or ()), None),
            usage=usage_of(said.usage),
        )
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"an answer that cannot be read ({seen})", op="stt", provider=NAME)


def usage_of(charged: Charged | None) -> Usage | None:
    """What was charged; `None` if that was not told."""
    if charged is None:
        return None
    found = Usage(
        input_tokens=charged.input_tokens,
        output_tokens=charged.output_tokens,
        audio_seconds=charged.seconds,
    )
    return None if found == Usage() else found
