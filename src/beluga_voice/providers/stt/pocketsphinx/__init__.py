"""Speech into text on this machine, by CMU PocketSphinx."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beluga_voice.providers.stt.pocketsphinx.provider import Pocketsphinx, PocketsphinxLink

__all__ = ["Pocketsphinx", "PocketsphinxLink"]


def __getattr__(name: str) -> object:
    """Load on use: the worker process imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from beluga_voice.providers.stt.pocketsphinx import provider

    return getattr(provider, name)
