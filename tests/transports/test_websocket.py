"""A websocket as a channel, on a simulated network: every way in which it may fail."""

import asyncio
import logging
import ssl
from contextlib import suppress
from http import HTTPStatus

import pytest
import trustme
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from beluga_voice.errors import (
    BelugaError,
    BrokenProtocol,
    ConfigurationError,
    Denied,
    ErrorCode,
    LinkLost,
    Overloaded,
    Rejected,
    Unreachable,
)
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.network import Conditions
from beluga_voice.transports.websocket import connect_websocket
from transports.codec import HOST, PORT, URL


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def test_a_trusted_service_is_reached():
    """A connection over TLS carries messages, when its certificate is vouched for."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scene():
        async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            async with connect_websocket(f"wss://127.0.0.1:{port}/", ssl=trusting) as channel:
                await channel.send("hello")
                return await anext(aiter(channel))

    assert asyncio.run(scene()) == "hello"


async def attempt(url: str = URL, **settings: object) -> BelugaError:
    """The error that a connection which cannot come about ends with."""
    headers = {"Authorization": "Bearer open-sesame"}
    with pytest.raises(BelugaError) as caught:
        async with connect_websocket(url, headers=headers, provider="tiny", **settings):
            pass
    assert "sesame" not in str(caught.value)
    return caught.value


def test_messages_go_both_ways_whole():
    """Text stays text, bytes stay bytes, in order, and leaving closes in order."""
    closed = []

    async def listen(connection: ServerConnection) -> None:
        await echo(connection)
        closed.append(connection.close_code)

    async def scene():
        async with serve(listen, HOST, PORT), connect_websocket(URL) as channel:
            await channel.send("word")
            await channel.send(b"\x01\x02")
            messages = aiter(channel)
            return [await anext(messages), await anext(messages)]

    assert simulate(scene) == ["word", b"\x01\x02"]
    assert closed == [1000]


def test_the_key_travels_in_the_headers():
    """The service gets the headers it was to get."""
    seen = []

    async def listen(connection: ServerConnection) -> None:
        seen.append((connection.request.headers["X-Key"], connection.request.path))

    async def scene():
        async with serve(listen, HOST, PORT), connect_websocket(URL, headers={"X-Key": "k"}):
            pass

    simulate(scene)
    assert seen == [("k", "/listen?key=sesame")]


def test_no_key_and_no_word_is_logged(caplog):
    """With everything logged that can be, neither headers nor messages are."""

    async def scene():
        headers = {"Authorization": "Bearer open-sesame"}
        async with serve(echo, HOST, PORT), connect_websocket(URL, headers=headers) as channel:
            await channel.send("a secret word")
            return await anext(aiter(channel))

    caplog.set_level(logging.INFO, logger="websockets.server")  # the peer's own log
    caplog.set_level(logging.DEBUG)
    assert simulate(scene) == "a secret word"
    assert "sesame" not in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("status", "kind", "is_retryable"),
    [
        (401, Denied, False),
        (403, Denied, False),
        (429, Overloaded, True),
        (503, Overloaded, True),
        (400, Rejected, False),
        (404, Rejected, False),
        (302, Rejected, False),
        (408, Unreachable, True),
        (500, Unreachable, True),
        (502, Unreachable, True),
    ],
)
def test_a_handshake_status_is_one_of_our_errors(status, kind, is_retryable):
    """Each status of a refused handshake gives the error that says what the caller can do."""

    async def refuse(connection: ServerConnection, request: Request) -> Response:
        headers = Headers({"Location": "ws://elsewhere.example.com/"})
        return Response(status, HTTPStatus(status).phrase, headers, b"your key open-sesame")

    async def scene():
        async with serve(echo, HOST, PORT, process_request=refuse):
            return await attempt()

    error = simulate(scene)
    assert type(error) is kind
    assert error.is_retryable is is_retryable
    assert error.provider == "tiny"
    assert f"{HOST}:{PORT} answered with HTTP status {status}" in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "0.5"}, 0.5),
        (
            {
                "Retry-After": "Wed, 21 Oct 2015 07:28:12 GMT",
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            12,
        ),
        ({"Retry-After": "-3"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:12 GMT", "Date": "today"}, None),
        ({}, None),
    ],
)
def test_an_overloaded_service_says_when_to_come_back(headers, seconds):
    """`Retry-After` is read as seconds, or as a date by the service's own clock."""

    async def refuse(connection: ServerConnection, request: Request) -> Response:
        return Response(429, "Too Many Requests", Headers(headers))

    async def scene():
        async with serve(echo, HOST, PORT, process_request=refuse):
            return await attempt()

    assert simulate(scene).retry_after == seconds


def test_a_refused_connection_is_unreachable():
    """Where nothing listens, that is said after one round trip."""

    async def scene():
        running_simulation().network.set_conditions(Conditions(latency_ms=40))
        return await attempt(), running_simulation().time_ms()

    error, at = simulate(scene)
    assert type(error) is Unreachable
    assert "refused" in error.message
    assert at == 80


def test_an_unknown_name_is_unreachable():
    """A name without an address is told apart from a service that is down."""

    async def scene():
        running_simulation().network.hide_name(HOST)
        return await attempt()

    error = simulate(scene)
    assert type(error) is Unreachable
    assert "no address" in error.message


def test_a_black_hole_is_unreachable_in_time():
    """A service that does not answer is given up after `connect_seconds`, to the millisecond."""

    async def scene():
        running_simulation().network.black_hole(HOST, PORT)
        error = await attempt(connect_seconds=3)
        return error, running_simulation().time_ms()

    error, at = simulate(scene)
    assert (type(error), error.code, at) == (Unreachable, ErrorCode.TIMEOUT, 3000)


def test_a_connection_cut_in_the_handshake_is_unreachable():
    """An answer that ends in its middle may come whole the next time."""

    async def scene():
        running_simulation().network.set_conditions(down=Conditions(half_close_after_bytes=20))
        async with serve(echo, HOST, PORT):
            return await attempt()

    assert type(simulate(scene)) is Unreachable


def test_a_web_server_without_websockets_breaks_the_protocol():
    """An answer of 101 that is no websocket's is not tried again."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: smoke\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async def scene():
        async with await asyncio.start_server(answer, HOST, PORT):
            return await attempt()

    assert type(simulate(scene)) is BrokenProtocol


@pytest.mark.parametrize(
    ("url", "settings", "says"),
    [
        ("https://voice.example.com/?key=sesame", {}, "no websocket address"),
        ("ws://voice.example.com:sesame/", {}, "websocket address"),
        ("ws://voice.example.com/", {"ssl": ssl.create_default_context()}, "wss://"),
        ("ws://voice.example.com/", {"proxy": "ftp://me:sesame@proxy.example.com"}, "proxy"),
    ],
)
def test_what_cannot_work_is_a_configuration_error(url, settings, says):
    """A wrong address or proxy is named without being quoted."""

    async def scene():
        return await attempt(url, **settings)

    error = simulate(scene)
    assert isinstance(error, ConfigurationError)
    assert says in error.message
    assert error.__cause__ is None


def test_an_untrusted_certificate_says_what_to_do():
    """A service whose certificate nobody vouches for is unreachable, and the cause is named."""
    # The simulated network has no TLS, so this one is on a real loopback socket.
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("elsewhere.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def scene():
        loop = asyncio.get_running_loop()
        # The server's side of a refused handshake is nobody's business here.
        loop.set_exception_handler(lambda loop, details: None)
        async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            return await attempt(f"wss://127.0.0.1:{port}/"), await attempt(
                f"wss://127.0.0.1:{port}/", ssl=trusting
            )

    strange, wrong_name = asyncio.run(scene())
    assert (type(strange), type(wrong_name)) == (Unreachable, Unreachable)
    assert "not trusted" in strange.message
    assert "give an ssl context" in strange.message
    assert "not valid for '127.0.0.1'" in wrong_name.message


def test_a_reset_is_a_lost_link():
    """A connection that breaks ends the messages and the sending with `LinkLost`."""

    async def scene():
        loop = running_simulation()
        async with serve(echo, HOST, PORT), connect_websocket(URL, provider="tiny") as channel:
            loop.call_later(2, loop.network.reset)
            with pytest.raises(LinkLost, match=r"broke \(code 1006\)") as caught:
                async for _ in channel:
                    pass
            with pytest.raises(LinkLost):
                await channel.send("word")
            return loop.time_ms(), channel.close_code, caught.value.provider

    assert simulate(scene) == (2000, 1006, "tiny")


@pytest.mark.parametrize(("code", "is_clean"), [(1000, True), (1001, True), (1011, False)])
def test_the_close_code_tells_an_end_from_a_failure(code, is_clean):
    """A going-away peer just ends the messages; one that failed raises, with its code."""

    async def close(connection: ServerConnection) -> None:
        await connection.close(code, "because")

    async def scene():
        async with serve(close, HOST, PORT), connect_websocket(URL) as channel:
            try:
                ended = [message async for message in channel] == []
            except LinkLost as error:
                ended = f"code {code}" not in error.message
            return ended, channel.close_code, channel.close_reason

    assert simulate(scene) == (is_clean, code, "because")


def test_a_silent_peer_is_noticed_by_its_missing_pong():
    """Without an answer to a ping, the link is lost after both intervals and the close timeout."""

    async def ignore(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def scene():
        loop = running_simulation()
        async with serve(ignore, HOST, PORT, ping_interval=None, close_timeout=1):
            async with connect_websocket(URL, ping_seconds=5, pong_seconds=3) as channel:
                loop.network.stall()
                with pytest.raises(LinkLost, match="code 1011"):
                    await anext(aiter(channel))
                at = loop.time_ms()
            loop.network.reset()
            return at

    assert simulate(scene) == 9000


def test_leaving_takes_no_longer_than_it_may():
    """A peer that reads nothing is hung up on after `close_seconds`."""

    async def ignore(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async def scene():
        loop = running_simulation()
        async with serve(ignore, HOST, PORT, ping_interval=None, close_timeout=1):
            async with connect_websocket(URL, close_seconds=0.5) as channel:
                loop.network.stall()
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        while True:
                            await channel.send(bytes(10_000))
                assert loop.time_ms() == 1000
                left = loop.time_ms()
            took = loop.time_ms() - left
            loop.network.resume()
            return took

    assert simulate(scene) == 500


def proxied(monkeypatch: pytest.MonkeyPatch, url: str, **settings: str) -> list[str]:
    """What a proxy was asked for when connecting."""
    monkeypatch.setenv("NO_PROXY", "")
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readline()).decode().strip())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async def scene():
        async with await asyncio.start_server(proxy, "proxy.example.com", 3128):
            return await attempt(url, **settings)

    error = simulate(scene)
    assert type(error) is Unreachable
    assert "proxy" in error.message or not asked
    return asked


def test_the_proxy_of_the_environment_is_used(monkeypatch):
    """A proxy that the environment names is asked for the service."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:open-sesame@proxy.example.com:3128")
    assert proxied(monkeypatch, URL) == [f"CONNECT {HOST}:{PORT} HTTP/1.1"]


def test_a_given_proxy_goes_before_that_of_the_environment(monkeypatch):
    """The proxy of the settings is asked, not the environment's."""
    monkeypatch.setenv("HTTPS_PROXY", "http://other.example.com:3128")
    asked = proxied(monkeypatch, URL, proxy="http://proxy.example.com:3128")
    assert asked == [f"CONNECT {HOST}:{PORT} HTTP/1.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "voice.localhost", "127.8.8.8"])
def test_this_machine_is_never_reached_through_a_proxy(monkeypatch, host):
    """Loopback addresses are connected to directly, whatever the environment says."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    assert proxied(monkeypatch, f"ws://{host}:{PORT}/") == []
