"""External reasoning: a speech-to-speech service hears and speaks, and an agent of ours thinks."""

from beluga_voice.providers.s2s.reasoned.provider import Reasoned, Way

__all__ = ["Reasoned", "Way"]
