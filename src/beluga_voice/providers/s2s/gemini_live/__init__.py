"""Speech to speech by Google's Gemini Live."""

from beluga_voice.providers.s2s.gemini_live.provider import GeminiLive

__all__ = ["GeminiLive"]
