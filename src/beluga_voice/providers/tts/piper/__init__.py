"""Text into speech on this machine, by Piper."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beluga_voice.providers.tts.piper._link import PiperLink
    from beluga_voice.providers.tts.piper.provider import Piper

__all__ = ["Piper", "PiperLink"]


def __getattr__(name: str) -> object:
    """Load on use: the worker process imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from beluga_voice.providers.tts.piper import provider

    return getattr(provider, name)
