"""Speech into text on this machine, by Whisper."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beluga_voice.providers.stt.whisper._link import WhisperLink
    from beluga_voice.providers.stt.whisper.provider import Whisper

__all__ = ["Whisper", "WhisperLink"]


def __getattr__(name: str) -> object:
    """Load on use: the worker process imports this package too, and needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from beluga_voice.providers.stt.whisper import provider

    return getattr(provider, name)
