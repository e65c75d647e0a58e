"""Requests over HTTP to OpenAI, or to a server that speaks as it does."""

import asyncio
import logging
import ssl as tls
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import msgspec

from beluga_voice.errors import ErrorCode, ProviderError, Unreachable
from beluga_voice.events import ErrorCategory, ServiceFailed
from beluga_voice.providers import requests
from beluga_voice.providers.openai.account import NAME, error_in, refusal_of
from beluga_voice.providers.requests import RequestFailed, answer, beginning_of
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    import httpx

log = logging.getLogger(__name__)


class _Model(msgspec.Struct):
    shutdown_date: str | None = None


_models = msgspec.json.Decoder(_Model)

_announced: set[str] = set()
"""Models whose shutdown was logged; once is enough."""


def open_client(
    base: str,
    headers: dict[str, str],
    *,
    connect_seconds: float,
    quiet_seconds: float,
    ssl: tls.SSLContext | None,
) -> "AbstractAsyncContextManager[httpx.AsyncClient]":
    """A client for that address; raises `MissingExtra` where its library is not installed."""
    return requests.open_client(
        base,
        headers,
        connect_seconds=connect_seconds,
        quiet_seconds=quiet_seconds,
        ssl=ssl,
        what="OpenAI over HTTP",
        extra="openai",
    )


async def check_model(client: "httpx.AsyncClient", model: str, *, seconds: float) -> None:
    """Ask whether the key and the model are good, which also warms the connection.

    A server that has no such page is taken as it is. Raises `Denied`, `Rejected`, `Overloaded` or
    `Unreachable`. A model that is about to be shut down is logged.
    """
    host = urlsplit(str(client.base_url)).netloc
    try:
        async with asyncio.timeout(seconds):
            response = await fetch(client, f"/models/{quote(model, safe='')}")
    except TimeoutError as error:
        message = f"{host} did not answer within {seconds:g} s; check the network"
        raise Unreachable(message, op="connect", provider=NAME, code=ErrorCode.TIMEOUT) from error
    except RequestFailed as failed:
        raise _refused(failed.failure, host) from failed.__cause__
    status, body = response
    if status == HTTPStatus.OK:
        day = _shutdown_date(body)
        if day and model not in _announced:
            _announced.add(model)
            log.warning("the model %s will be shut down on %s", model, day)
        return
    missing = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
    if status in missing and error_in(body).code is None:
        return
    raise _refused(refusal_of(status, {}, body), host)


async def fetch(client: "httpx.AsyncClient", path: str) -> tuple[int, bytes]:
    """The status and the beginning of an answer; raises `RequestFailed`."""
    async with answer(client, client.build_request("GET", path)) as response:
        found = response.status_code, await beginning_of(response)
        if found[0] in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            raise RequestFailed(refusal_of(found[0], response.headers, found[1]))
        return found


async def expect_success(response: "httpx.Response") -> None:
    """Raise `RequestFailed` for an answer that says no."""
    await requests.expect_success(response, refusal_of)


def _refused(failure: ServiceFailed, host: str) -> ProviderError:
    kind = error_of(failure, op="connect", provider=NAME, otherwise=Unreachable)
    if failure.category is ErrorCategory.TIMEOUT:
        kind = Unreachable(failure.message, op="connect", provider=NAME, code=ErrorCode.TIMEOUT)
    if failure.provider_code is not None or failure.message.startswith("HTTP"):
        kind.message = f"{host} answered with {failure.message}"
        kind.args = (kind.message,)
    return kind


def _shutdown_date(body: bytes) -> str:
    try:
        return (_models.decode(body).shutdown_date or "")[:32]
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
