"""OpenAI: speech into text, live over a websocket or utterance by utterance over REST."""

from beluga_voice.providers.stt.openai.provider import OpenAIStt

__all__ = ["OpenAIStt"]
