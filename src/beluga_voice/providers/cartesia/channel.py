"""Opens a connection to Cartesia, and says in its own words why it refused one."""

import os
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, Overloaded, ProviderError, Rejected, Unreachable
from beluga_voice.providers.advice import key_advice
from beluga_voice.providers.cartesia.service import KEY_VARIABLE, NAME, failure_in, headers
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket

_ADVICE = Advice(denied=key_advice(KEY_VARIABLE))


def key_of(given: str | None) -> str:
    """The key that was given, or that of the environment; raises `Denied` if there is none."""
    key = given or os.environ.get(KEY_VARIABLE, "")
    if not key:
        message = f"there is no key: set {KEY_VARIABLE}, or give api_key"
        raise Denied(message, op="connect", provider=NAME)
    return key


@asynccontextmanager
async def open_channel(
    url: str,
    *,
    key: str,
    version: str,
    connect_seconds: float,
    ssl: tls.SSLContext | None,
) -> AsyncGenerator[WebSocketChannel]:
    """A websocket; raises as `connect_websocket` does, with the service's reason added."""
    async with AsyncExitStack() as stack:
        opening = connect_websocket(
            url,
            headers=headers(key, version),
            connect_seconds=connect_seconds,
            ssl=ssl,
            provider=NAME,
            advice=_ADVICE,
        )
        try:
            channel = await stack.enter_async_context(opening)
        except (Denied, Overloaded, Rejected, Unreachable) as error:
            raise _with_reason(error) from error.__cause__
        yield channel


def _with_reason(error: ProviderError) -> ProviderError:
    refused = error.__cause__
    if not isinstance(refused, InvalidStatus):
        return error
    if reason := failure_in(refused.response.body or b"").reason:
        error.message = f"{error.message} ({reason})"
        error.args = (error.message,)
    return error
