"""Calls that arrive on a websocket: from the page, or from any program."""

from beluga_voice.backends.websocket.carrier import Checkpoints, Session, WebSocketCarrier
from beluga_voice.backends.websocket.protocol import Limits

__all__ = ["Checkpoints", "Limits", "Session", "WebSocketCarrier"]
