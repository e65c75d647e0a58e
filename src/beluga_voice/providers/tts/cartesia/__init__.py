"""Cartesia Sonic: text into speech, over a websocket."""

from beluga_voice.providers.tts.cartesia.provider import Cartesia

__all__ = ["Cartesia"]
