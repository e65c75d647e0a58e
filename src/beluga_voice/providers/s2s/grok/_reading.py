"""The messages of the Grok Voice Agent service: those that are handled, and those that are not."""

import msgspec

from beluga_voice.providers.s2s.grok import _wire as own
from beluga_voice.providers.s2s.realtime_dialect import wire
from beluga_voice.providers.s2s.realtime_dialect.reading import (
    IGNORED,
    TRANSCRIPTION,
    TYPES,
    Reader,
)

_OWN: dict[str, type[msgspec.Struct]] = {
    "conversation.created": own.ConversationMessage,
    f"{TRANSCRIPTION}.updated": own.TranscriptUpdated,
    "response.function_call_arguments.done": own.CallDone,
    # Names of an older dialect, which occur.
    "response.audio.delta": wire.AudioDelta,
    "response.audio_transcript.delta": wire.TextDelta,
    "response.text.delta": wire.TextDelta,
}
_OWN_IGNORED = {
    "ping",
    "response.audio.done",
    "response.audio_transcript.done",
    "response.text.done",
}

READER = Reader("grok", {**TYPES, **_OWN}, (IGNORED | _OWN_IGNORED) - set(_OWN))
