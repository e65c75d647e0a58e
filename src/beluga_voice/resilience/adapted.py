"""A provider whose options are changed before they reach it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from beluga_voice.interfaces import Capabilities, Link, Provider
from beluga_voice.resilience.nesting import warmed


class Adapted[O, S, R]:
    """Connects with `change(options)`.

    So that providers which stand in for each other can be asked alike: the same voice has a name
    of its own with each service.

        Adapted(tts, lambda options: replace(options, voice="luna"))
    """

    def __init__(self, provider: Provider[O, S, R], change: Callable[[O], O]) -> None:
        self._provider = provider
        self._change = change

    @property
    def name(self) -> str:
        """The provider's own."""
        return self._provider.name

    @property
    def capabilities(self) -> Capabilities:
        """The provider's own."""
        return self._provider.capabilities

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    def connect(self, options: O, /) -> AbstractAsyncContextManager[Link[S, R]]:
        """A link of the provider."""
        return self._provider.connect(self._change(options))
