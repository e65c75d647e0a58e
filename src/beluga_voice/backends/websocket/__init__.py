"""Calls that arrive on a websocket: from the page, or from any program."""

from beluga_voice.backends.websocket.carrier import Session, WebSocketCarrier
from beluga_voice.backends.websocket.protocol import Limits

__all__ = ["Limits", "Session", "WebSocketCarrier"]
