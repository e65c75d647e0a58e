"""What Scribe says and is told on its wire, as types.

Each message is one JSON object in a text frame; its `message_type` says what it is. Fields that are
not named here are skipped.

Source: the AsyncAPI document of Scribe (22 August 2026) and the types of the Python SDK
`elevenlabs` 2.78.0, read 2026-11-21.
"""

import base64
import math

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import Usage
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.answers import Answer, PostedWord
from beluga_voice.providers.elevenlabs.account import NAME


class Config(msgspec.Struct, frozen=True):
    """How the service understood the query."""

    sample_rate: int | None = None
    model_id: str | None = None


class Word(msgspec.Struct, frozen=True):
    """A word, a space or a noise; times are seconds from the first sound of the session."""

    text: str | None = None
    start: float | None = None
    end: float | None = None
    type: str | None = None
    logprob: float | None = None


class ServerMessage(msgspec.Struct, frozen=True):
    """One message of the service."""

    message_type: str
    session_id: str | None = None
    config: Config | None = None
    text: str | None = None
    language_code: str | None = None
    words: list[Word] | None = None
    error: str | None = None


class FileAnswer(msgspec.Struct, frozen=True):
    """The answer to a recording that was posted; times are seconds from its beginning."""

    text: str
    language_code: str | None = None
    words: list[Word] = []
    audio_duration_secs: float | None = None


_decoder = msgspec.json.Decoder(ServerMessage)
_answers = msgspec.json.Decoder(FileAnswer)
_encode = msgspec.json.Encoder().encode


class AudioChunk(msgspec.Struct, tag_field="message_type", tag="input_audio_chunk"):
    """The only thing that can be said to it: more sound, and whether to settle what it heard."""

    audio_base_64: str
    commit: bool
    sample_rate: int
    previous_text: str | msgspec.UnsetType = msgspec.UNSET


def read(message: WireMessage) -> ServerMessage:
    """Read one message; raises `BrokenProtocol` for what is none."""
    if isinstance(message, bytes):
        raise BrokenProtocol("a binary message, where the protocol has text", op=NAME)
    try:
        return _decoder.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"a message that cannot be read ({seen})", op=NAME)


def read_answer(body: bytes) -> Answer:
    """The answer to a recording; raises `BrokenProtocol`."""
    try:
        said = _answers.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    else:
        words = tuple(
            PostedWord(
                text=word.text,
                start=word.start,
                end=word.end,
                confidence=confidence_of(word),
            )
            for word in said.words
            if word.type in (None, "word") and word.text
            if word.start is not None and word.end is not None
        )
        sure = [word.confidence for word in words if word.confidence is not None]
        seconds = said.audio_duration_secs
        return Answer(
            text=said.text,
            words=words,
            confidence=sum(sure) / len(sure) if sure else None,
            language=said.language_code,
            usage=None if seconds is None else Usage(audio_seconds=seconds),
        )
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"an answer that cannot be read ({seen})", op=NAME)


def confidence_of(word: Word) -> float | None:
    """How sure the service is of a word."""
    return None if word.logprob is None else math.exp(min(word.logprob, 0.0))


def chunk(sound: bytes, rate: int, *, commit: bool = False, previous_text: str = "") -> WireMessage:
    """A message with sound."""
    said = AudioChunk(
        audio_base_64=base64.b64encode(sound).decode(),
        commit=commit,
        sample_rate=rate,
        previous_text=previous_text or msgspec.UNSET,
    )
    return _encode(said).decode()
