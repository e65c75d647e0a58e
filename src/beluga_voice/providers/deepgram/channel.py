"""A websocket to Deepgram: opened with what the service says when it refuses, and timed.

Deepgram gives the reason of a refused handshake in the header `dg-error`, and in the body.
Source: https://developers.deepgram.com/docs/tts-troubleshooting-websocket-net-and-data-errors,
read 2026-11-21.
"""

import asyncio
import os
import ssl as tls
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import override
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from websockets.exceptions import InvalidStatus

from beluga_voice.errors import ConfigurationError, Denied, LinkLost, ProviderError
from beluga_voice.events import ServiceFailed
from beluga_voice.interfaces import WireMessage
from beluga_voice.providers.advice import key_advice
from beluga_voice.providers.deepgram.timed import Timed
from beluga_voice.providers.requests import refusal
from beluga_voice.providers.ticking import TickingChannel
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import ClosingChannel

KEY_VARIABLE = "DEEPGRAM_API_KEY"
_ADVICE = Advice(denied=key_advice(KEY_VARIABLE))
HOST = "wss://api.deepgram.com"
"""There are others for regions: `api.eu.`, `api.au.` and `api.in.deepgram.com`."""
GOODBYE_SECONDS = 0.25
MAX_REASON = 300
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_WEB = {"ws": "http", "wss": "https"}


class HeardChannel(TickingChannel):
    """A channel that tells a codec of each message as it leaves, and wakes it at its alarm."""

    def __init__(self, channel: ClosingChannel, codec: Timed) -> None:
        changed = asyncio.Event()
        codec.alarm.watch(changed.set)
        super().__init__(channel, codec, changed)
        self._codec = codec

    @override
    async def send(self, message: WireMessage, /) -> None:
        """Send one message, as the channel below does."""
        self._codec.passed(message)
        await super().send(message)


def address_of(endpoint: str | None, path: str, *, op: str) -> str:
    """The websocket address; `endpoint` is a host, or the whole without the query.

    Raises `ConfigurationError` for what is no address.
    """
    try:
        parts = urlsplit(endpoint or HOST)
        scheme, host = _SCHEMES.get(parts.scheme, ""), parts.hostname
    except ValueError:
        scheme, host = "", None
    else:
        if scheme and host and not parts.query:
            own = parts.path if parts.path.strip("/") else path
            return urlunsplit((scheme, parts.netloc, own, "", ""))
    raise ConfigurationError("endpoint: give wss://host, or wss://host/path", op=op)


def web_address_of(endpoint: str | None, path: str, *, op: str) -> str:
    """The same for what is asked for by HTTP."""
    scheme, rest = address_of(endpoint, path, op=op).split(":", 1)
    return f"{_WEB[scheme]}:{rest}"


def key_of(given: str | None) -> str:
    """The key to use; raises `Denied` without one."""
    key = given or os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op="connect")
    return key


@asynccontextmanager
async def open_deepgram(
    address: str,
    query: Sequence[tuple[str, str]],
    codec: Timed,
    *,
    api_key: str | None,
    goodbye: str,
    seconds: float,
    ssl: tls.SSLContext | None,
    provider: str,
) -> AsyncGenerator[HeardChannel]:
    """Open a websocket for that codec; on leaving, say goodbye in the service's own way.

    Raises `Denied` without a key, and as `connect_websocket` does, with the service's reason.
    """
    key = key_of(api_key)
    opening = connect_websocket(
        f"{address}?{urlencode(query)}",
        headers={"Authorization": f"Token {key}"},
        connect_seconds=seconds,
        ssl=ssl,
        provider=provider,
        advice=_ADVICE,
    )
    async with AsyncExitStack() as stack:
        try:
            channel = await stack.enter_async_context(opening)
        except ProviderError as error:
            if reason := _reason_of(error):
                error.message = f"{error.message}: {reason}"
                error.args = (error.message,)
            raise
        try:
            yield HeardChannel(channel, codec)
        finally:
            # A socket that is left without it goes on counting as one that is used.
            if channel.close_code is None:
                with suppress(TimeoutError, LinkLost):
                    async with asyncio.timeout(GOODBYE_SECONDS):
                        await channel.send(goodbye)


class _Refusal(msgspec.Struct):
    err_msg: str = ""


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> ServiceFailed:
    """What an answer other than 200 means, as a fatal failure."""
    return refusal(status, headers, _said(headers, body), variable=KEY_VARIABLE)


def _reason_of(error: ProviderError) -> str:
    """Why the service refused, in its own words, and in one line."""
    refused = error.__cause__
    if not isinstance(refused, InvalidStatus):
        return ""
    return _said(refused.response.headers, bytes(refused.response.body or b""))


def _said(headers: Mapping[str, str], body: bytes) -> str:
    reason = headers.get("dg-error", "")
    if not reason:
        try:
            reason = msgspec.json.decode(body, type=_Refusal).err_msg
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return ""
    return " ".join(reason.split())[:MAX_REASON]
