"""ElevenLabs Scribe: speech into text, while it is spoken."""

from beluga_voice.providers.stt.elevenlabs.provider import Scribe

__all__ = ["Scribe"]
