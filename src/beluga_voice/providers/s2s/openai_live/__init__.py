"""OpenAI GPT-Live: a model that hears while it speaks."""

from beluga_voice.providers.s2s.openai_live._options import ResponsesDelegation
from beluga_voice.providers.s2s.openai_live.provider import OpenAILive

__all__ = ["OpenAILive", "ResponsesDelegation"]
