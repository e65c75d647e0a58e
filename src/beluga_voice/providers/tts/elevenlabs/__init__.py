"""ElevenLabs: text into speech, in several contexts over one connection."""

from beluga_voice.providers.tts.elevenlabs.provider import ElevenLabs

__all__ = ["ElevenLabs"]
