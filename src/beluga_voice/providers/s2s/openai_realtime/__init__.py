"""OpenAI Realtime: speech in, speech out."""

from beluga_voice.providers.s2s.openai_realtime._options import (
    SemanticVad,
    ServerVad,
    Transcription,
)
from beluga_voice.providers.s2s.openai_realtime.provider import OpenAIRealtime

__all__ = ["OpenAIRealtime", "SemanticVad", "ServerVad", "Transcription"]
