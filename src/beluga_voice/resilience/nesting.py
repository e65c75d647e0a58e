"""What is inside of wrappers: a wrapper says it in an attribute of the name `inside`."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any


def inside(provider: object) -> tuple[Any, ...]:
    """The providers that it wraps; none if it is no wrapper of ours."""
    return getattr(provider, "inside", ())


def guards(provider: object) -> Iterator[str]:
    """The keys of all breakers in it."""
    key = getattr(provider, "breaker_key", None)
    if key is not None:
        yield key
    for one in inside(provider):
        yield from guards(one)


def is_guarded(provider: object) -> bool:
    """Whether every way through it passes a breaker."""
    if getattr(provider, "breaker_key", None) is not None:
        return True
    wrapped = inside(provider)
    return bool(wrapped) and all(is_guarded(one) for one in wrapped)


@asynccontextmanager
async def warmed(providers: tuple[object, ...]) -> AsyncGenerator[None]:
    """Keep the models and processes of those that have any, for as long as the context lasts."""
    async with AsyncExitStack() as stack:
        for one in providers:
            warm = getattr(one, "warm", None)
            if warm is not None:
                await stack.enter_async_context(warm())
        yield
