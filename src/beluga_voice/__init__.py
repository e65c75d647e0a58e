"""Real-time voice agents that never go silent.

The names below are loaded when they are first used, so that importing this package costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beluga_voice.agents.builtin import BuiltinAgent
    from beluga_voice.app import VoiceSession, cascade
    from beluga_voice.errors import BelugaError
    from beluga_voice.interfaces import AgentTurn, LineOptions
    from beluga_voice.services.speech_to_speech import s2s
    from beluga_voice.services.speech_to_text import stt
    from beluga_voice.services.text_to_speech import tts
    from beluga_voice.session.happening import Happening
    from beluga_voice.session.session import Session
    from beluga_voice.session.tools import tool

__version__ = "0.1.0"

_PLACES = {
    "AgentTurn": "beluga_voice.interfaces",
    "BelugaError": "beluga_voice.errors",
    "BuiltinAgent": "beluga_voice.agents.builtin",
    "Happening": "beluga_voice.session.happening",
    "LineOptions": "beluga_voice.interfaces",
    "Session": "beluga_voice.session.session",
    "VoiceSession": "beluga_voice.app",
    "cascade": "beluga_voice.app",
    "s2s": "beluga_voice.services.speech_to_speech",
    "stt": "beluga_voice.services.speech_to_text",
    "tool": "beluga_voice.session.tools",
    "tts": "beluga_voice.services.text_to_speech",
}

__all__ = [
    "AgentTurn",
    "BelugaError",
    "BuiltinAgent",
    "Happening",
    "LineOptions",
    "Session",
    "VoiceSession",
    "__version__",
    "cascade",
    "s2s",
    "stt",
    "tool",
    "tts",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
