"""Text into speech on this machine, by eSpeak NG."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beluga_voice.providers.tts.espeak.provider import Espeak, EspeakLink

__all__ = ["Espeak", "EspeakLink"]


def __getattr__(name: str) -> object:
    """Load on use: the worker process imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from beluga_voice.providers.tts.espeak import provider

    return getattr(provider, name)
