"""Speech-to-text, an agent and text-to-speech, as one speech-to-speech provider."""

from beluga_voice.providers.s2s.cascade.provider import Cascade

__all__ = ["Cascade"]
