"""Speech by OpenAI's REST interface, which many local servers speak."""

from beluga_voice.providers.tts.openai.provider import OpenAITts

__all__ = ["OpenAITts"]
