"""Deepgram Aura: text to speech, one utterance after the other."""

from beluga_voice.providers.tts.deepgram.provider import DeepgramTts

__all__ = ["DeepgramTts"]
