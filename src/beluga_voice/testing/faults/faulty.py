"""A provider that fails as it is told to."""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import (
    Capabilities,
    Link,
    Provider,
    S2sOptions,
    SttOptions,
    TtsOptions,
    input_format_of,
    output_format_of,
)
from beluga_voice.resilience.nesting import warmed
from beluga_voice.testing.faults.fault import UP, Fault, Kind, Place, Struck
from beluga_voice.testing.faults.link import FaultyLink, Strike
from beluga_voice.testing.faults.trigger import Trigger

_KINDS: tuple[tuple[type, Kind], ...] = (
    (S2sOptions, Kind.S2S),
    (SttOptions, Kind.STT),
    (TtsOptions, Kind.TTS),
)


class Faulty[O, S, R]:
    """A provider of any kind, and is one, on whose links the given faults strike.

        Faulty(stt, Hang(when=When(phase=Phase.AWAITED, connections=1)), seed=7)

    Everything random comes from `seed`, apart for each fault and each connection: what one does
    never shifts another. What struck is in `struck`, in order. Faults meet what passes in the
    order in which they are given. Promises of links that a fault is not about are kept.

    Connecting raises what a fault wants it to raise, before the provider is asked, and otherwise
    what the provider raises. It raises `ConfigurationError` for options of no kind that is known.
    """

    def __init__(self, provider: Provider[O, S, R], *faults: Fault, seed: int = 0) -> None:
        self._provider = provider
        self.faults = faults
        self.seed = seed
        self.connections = 0
        """How often it was connected to."""
        self.struck: list[Struck] = []

    def __repr__(self) -> str:
        faults = "".join(f", {one!r}" for one in self.faults)
        return f"Faulty({self.name}{faults}, seed={self.seed})"

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

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider, with its faults; cancelling is safe."""
        kind = _kind_of(options)
        self.connections += 1
        async with AsyncExitStack() as stack:
            link: FaultyLink[S, R] = FaultyLink(kind)
            stack.callback(link.close)
            for index, fault in enumerate(self.faults):
                self._begin(fault, index, kind, options, link)
            await link.connecting()
            link.over(await stack.enter_async_context(self._provider.connect(options)))
            yield link

    def _begin(
        self, fault: Fault, index: int, kind: Kind, options: O, link: FaultyLink[S, R]
    ) -> None:
        connection = self.connections
        chance = random.Random(f"{self.seed}/{index}/{connection}")
        if kind not in fault.kinds or not fault.when.strikes(connection, chance.random()):
            return
        wanted = getattr(
            options, "input_format" if fault.direction is UP else "output_format", None
        )
        shape_of = input_format_of if fault.direction is UP else output_format_of
        place = Place(
            kind=kind,
            provider=self.name,
            shape=shape_of(self.capabilities, wanted),
            chance=chance,
            wire=link,
        )
        effect = fault.begin(place)

        def begin(until: float | None) -> None:
            at_ms = round(asyncio.get_running_loop().time() * 1000, 3)
            self.struck.append(Struck(fault=fault.name, connection=connection, at_ms=at_ms))
            effect.strike(until)

        link.suffer(Strike(fault, effect, Trigger(fault.when, begin)))


def _kind_of(options: object) -> Kind:
    for options_type, kind in _KINDS:
        if isinstance(options, options_type):
            return kind
    message = f"{type(options).__name__} are no options of a kind of provider that faults know"
    raise ConfigurationError(message, op="faults")
