"""The messages of Deepgram's two protocols for listening.

Read from the vendor's AsyncAPI description of 2026-07-22 and the types of deepgram-sdk 7.17.0, on
2026-11-21. Times are seconds of the sound that the service received on this connection.
"""

from typing import Annotated

import msgspec

from beluga_voice.errors import BrokenProtocol
from beluga_voice.events import Usage
from beluga_voice.providers.answers import Answer, PostedWord
from beluga_voice.providers.stt.deepgram._capabilities import NAME

FINALIZE = '{"type":"Finalize"}'
KEEP_ALIVE = '{"type":"KeepAlive"}'
CLOSE_STREAM = '{"type":"CloseStream"}'
FORCE_END_TURN = '{"type":"ForceEndTurn"}'

type Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e7)]

# ── version 1 ───────────────────────────────────────────────────────────────────────────────


class Word(msgspec.Struct):
    """A word; Flux may leave its times out."""

    word: str
    confidence: float | None = None
    start: Seconds | None = None
    end: Seconds | None = None
    punctuated_word: str | None = None


class Alternative(msgspec.Struct):
    """One reading of a window."""

    transcript: str
    confidence: float | None = None
    words: list[Word] = []
    languages: list[str] | None = None


class Channel(msgspec.Struct):
    """One channel of the sound."""

    alternatives: list[Alternative] = []


class Results(msgspec.Struct):
    """The words of a window; what is not final is replaced by the next of the same window."""

    start: Seconds
    duration: Seconds
    channel: Channel
    is_final: bool | None = None
    speech_final: bool | None = None
    from_finalize: bool | None = None


class SpeechStarted(msgspec.Struct):
    """A voice begins."""

    timestamp: Seconds


class UtteranceEnd(msgspec.Struct):
    """There was no word for a while."""

    last_word_end: float


class Error(msgspec.Struct):
    """Either version's; the first has a variant, the second a code."""

    description: str = ""
    variant: str = ""
    code: str | None = None


class FileChannel(msgspec.Struct):
    """One channel of a recording."""

    alternatives: list[Alternative] = []
    detected_language: str | None = None


class FileResults(msgspec.Struct):
    """What is in a recording."""

    channels: list[FileChannel] = []


class FileMetadata(msgspec.Struct):
    """What is known of a recording."""

    duration: float | None = None


class FileAnswer(msgspec.Struct):
    """The answer to a recording that was posted."""

    results: FileResults
    metadata: FileMetadata = msgspec.field(default_factory=FileMetadata)


_answers = msgspec.json.Decoder(FileAnswer)


def read_answer(body: bytes) -> Answer:
    """The answer to a recording; raises `BrokenProtocol`."""
    try:
        said = _answers.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        seen = type(error).__name__
    else:
        channel = next(iter(said.results.channels), FileChannel())
        found = next(iter(channel.alternatives), Alternative(transcript=""))
        seconds = said.metadata.duration
        language = next(iter(found.languages or ()), channel.detected_language)
        return Answer(
            text=found.transcript,
            words=tuple(
                PostedWord(
                    text=word.punctuated_word or word.word,
                    start=word.start,
                    end=word.end,
                    confidence=word.confidence,
                )
                for word in found.words
                if word.start is not None and word.end is not None
            ),
            confidence=found.confidence if found.transcript else None,
            language=language,
            alternatives=tuple(one.transcript for one in channel.alternatives[1:]),
            usage=None if seconds is None else Usage(audio_seconds=seconds),
        )
    # Not chained, and not quoted: it may hold what a person said.
    raise BrokenProtocol(f"an answer that cannot be read ({seen})", op="stt", provider=NAME)


# ── version 2 ───────────────────────────────────────────────────────────────────────────────


class Connected(msgspec.Struct):
    """The service took the configuration."""

    request_id: str = ""


class TurnInfo(msgspec.Struct):
    """A turn: all that was said in it so far."""

    event: str
    turn_index: int
    transcript: str = ""
    audio_window_start: Seconds = 0.0
    audio_window_end: Seconds = 0.0
    words: list[Word] = []
    end_of_turn_confidence: float = 0.0
    trigger: str | None = None
    languages: list[str] | None = None


class Warned(msgspec.Struct):
    """Something is not as it should be, and the stream goes on."""

    code: str = ""
    description: str = ""


type NovaMessage = Results | SpeechStarted | UtteranceEnd | Error
type FluxMessage = Connected | TurnInfo | Warned | Error


def _decoder[M](kind: type[M]) -> msgspec.json.Decoder[M]:
    return msgspec.json.Decoder(kind)


NOVA: dict[str, "msgspec.json.Decoder[NovaMessage]"] = {
    "Results": _decoder(Results),
    "SpeechStarted": _decoder(SpeechStarted),
    "UtteranceEnd": _decoder(UtteranceEnd),
    "Error": _decoder(Error),
}
FLUX: dict[str, "msgspec.json.Decoder[FluxMessage]"] = {
    "Connected": _decoder(Connected),
    "TurnInfo": _decoder(TurnInfo),
    "Warning": _decoder(Warned),
    "Error": _decoder(Error),
}
