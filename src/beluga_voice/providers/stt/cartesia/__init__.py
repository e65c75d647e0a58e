"""Cartesia Ink: speech into text, over a websocket."""

from beluga_voice.providers.stt.cartesia._options import TurnThresholds
from beluga_voice.providers.stt.cartesia.provider import CartesiaStt

__all__ = ["CartesiaStt", "TurnThresholds"]
