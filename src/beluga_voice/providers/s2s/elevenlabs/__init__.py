"""Speech to speech by agents of ElevenLabs."""

from beluga_voice.providers.s2s.elevenlabs.provider import ElevenLabsAgents

__all__ = ["ElevenLabsAgents"]
