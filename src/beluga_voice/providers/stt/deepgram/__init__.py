"""Deepgram: speech to text, in segments (Nova) or in turns (Flux)."""

from beluga_voice.providers.stt.deepgram.provider import Deepgram

__all__ = ["Deepgram"]
