"""Whether a service can be used now."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from beluga_voice.errors import BelugaError, Silent

HEALTH_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What came of an attempt to connect."""

    provider: str
    is_healthy: bool
    connect_ms: float
    """Until it was ready, or until it failed."""
    error: BelugaError | None = None


async def try_connecting(
    provider: str,
    connect: Callable[[], AbstractAsyncContextManager[Any]],
    *,
    timeout_seconds: float = HEALTH_SECONDS,
) -> Health:
    """Connect as a session would, and leave. What goes wrong is in the answer, not raised."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    ready = began
    error: BelugaError | None = None
    try:
        async with asyncio.timeout(timeout_seconds), connect():
            ready = loop.time()
    except TimeoutError:
        message = f"{provider} was not ready within {timeout_seconds:g} s"
        error = Silent(message, op="health", provider=provider)
    except BelugaError as failed:
        error = failed
    ended = ready if error is None else loop.time()
    return Health(
        provider=provider,
        is_healthy=error is None,
        connect_ms=round((ended - began) * 1000, 3),
        error=error,
    )
