"""Speech to speech by Amazon Nova Sonic."""

from beluga_voice.providers.s2s.nova_sonic.provider import NovaSonic

__all__ = ["NovaSonic"]
