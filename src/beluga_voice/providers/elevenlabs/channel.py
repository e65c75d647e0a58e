"""A wire to ElevenLabs, opened with the service's own reason when it refuses."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, ProviderError
from beluga_voice.providers.advice import key_advice
from beluga_voice.providers.elevenlabs.account import KEY_VARIABLE, NAME, reason_of
from beluga_voice.providers.tick import Ticking
from beluga_voice.providers.ticking import TickingChannel
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.websocket import connect_websocket

_ADVICE = Advice(denied=key_advice(KEY_VARIABLE))


@asynccontextmanager
async def open_channel(
    url: str,
    ticking: Ticking,
    changed: asyncio.Event,
    *,
    key: str,
    connect_seconds: float,
    ssl: tls.SSLContext | None,
) -> AsyncGenerator[TickingChannel]:
    """A websocket that ticks; raises as `connect_websocket` does, with the service's reason."""
    async with AsyncExitStack() as stack:
        opening = connect_websocket(
            url,
            headers={"xi-api-key": key},
            connect_seconds=connect_seconds,
            ssl=ssl if url.startswith("wss:") else None,
            provider=NAME,
            advice=_ADVICE,
        )
        try:
            channel = await stack.enter_async_context(opening)
        except ProviderError as error:
            raise _explained(error) from error.__cause__
        yield TickingChannel(channel, ticking, changed)


def _explained(error: ProviderError) -> ProviderError:
    """The same error with the service's own reason, if a refused handshake gave one."""
    refused = error.__cause__
    if isinstance(refused, InvalidStatus):
        reason = reason_of(bytes(refused.response.body or b""))
        # What is said about a key might quote it: its code says enough.
        shown = reason.partition(":")[0] if isinstance(error, Denied) else reason
        if shown:
            error.message = f"{error.message} ({shown})"
            error.args = (error.message,)
    return error
