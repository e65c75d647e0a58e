"""What commands and events of all kinds have in common: sound, words, and whose they are."""

from enum import StrEnum

from msgspec.structs import replace

from beluga_voice.events import (
    ContextId,
    InputTranscript,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStatus,
    ResponseText,
    SendAudio,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    Transcript,
)

type Sound = SendAudio | ResponseAudio | SpeechAudio
"""Pieces of sound, in either direction."""
type Final = Transcript | InputTranscript


class Matter(StrEnum):
    """What a fault is about."""

    SOUND = "sound"
    """Pieces of sound."""
    WORDS = "words"
    """Words that come with sound, and transcripts that are not final."""


def is_sound(item: object) -> bool:
    """Whether it is a piece of sound."""
    return isinstance(item, SendAudio | ResponseAudio | SpeechAudio)


def is_of(item: object, matter: Matter) -> bool:
    """Whether it is of that matter, and may be missing without breaking a promise."""
    if matter is Matter.SOUND:
        return is_sound(item)
    if isinstance(item, Transcript | InputTranscript):
        return not item.is_final
    return isinstance(item, ResponseText | SpeechWords)


def with_pcm(item: Sound, pcm: bytes) -> Sound:
    """The same piece with other sound."""
    return replace(item, pcm=pcm)


def is_final(item: object) -> bool:
    """Whether it is a final transcript."""
    return isinstance(item, Transcript | InputTranscript) and item.is_final


def answer_of(item: object) -> str | None:
    """The id of the response or of the speech that it belongs to."""
    found = getattr(item, "response_id", None) or getattr(item, "context_id", None)
    return found if isinstance(found, str) else None


def is_done(item: object) -> bool:
    """Whether an answer ends with it."""
    return isinstance(item, ResponseDone | SpeechDone)


def done_early(item: Sound) -> ResponseDone | SpeechDone | None:
    """The end of the answer that this sound belongs to, as if all had been said."""
    match item:
        case ResponseAudio():
            completed = ResponseStatus.COMPLETED
            return ResponseDone(response_id=ResponseId(item.response_id), status=completed)
        case SpeechAudio():
            return SpeechDone(context_id=ContextId(item.context_id))
        case SendAudio():
            return None
