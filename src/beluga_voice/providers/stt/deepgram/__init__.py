"""Deepgram: speech to text, in segments (Nova), in turns (Flux), or from recordings."""

from beluga_voice.providers.stt.deepgram.files import DeepgramFiles
from beluga_voice.providers.stt.deepgram.provider import Deepgram

__all__ = ["Deepgram", "DeepgramFiles"]
