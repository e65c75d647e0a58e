"""Who may call, and what the server's answers carry."""

import asyncio
import contextlib
import logging
import signal
import socket

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType
from scripted_session import on_loop, serving, serving_program

from beluga_voice.errors import ConfigurationError
from beluga_voice.server.access import Access
from beluga_voice.server.app import Labels, create_app, listening, serve

TOKEN = "a-token-of-sixteen-or-more"


def local(**given: object) -> Access:
    return Access(host="127.0.0.1", **given)  # type: ignore[arg-type]  # a table's columns


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("localhost", True),
        ("localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("LOCALHOST:80", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8080", False),
        ("localhost.evil.example", False),
        ("", False),
        ("localhost; script-src *", False),
    ],
)
def test_a_local_server_answers_to_local_names_only(host: str, is_taken: bool) -> None:
    """On loopback a rebound name is refused by its Host header."""
    assert (local().check_host(host) is None) is is_taken


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8080"}, None),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8080"}, None),
        ({"Host": "LocalHost:8080", "Origin": "http://localhost:8080"}, None),
        ({"Host": "localhost", "Origin": "https://localhost:443"}, None),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8081"}, 403),
        ({"Host": "localhost:8080", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:8080", "Origin": "http://localhost:8080.evil.example"}, 403),
        ({"Host": "localhost:8080", "Origin": "null"}, 403),
        ({"Host": "localhost:8080", "Origin": "http://[oops"}, 403),
        ({"Host": "localhost:8080", "Origin": "file://localhost:8080"}, 403),
    ],
)
def test_pages_of_other_origins_are_refused(headers: dict[str, str], status: int | None) -> None:
    """A page of the same origin and a program without an origin may call; other pages may not."""
    denial = local().check(headers)
    assert (denial.status if denial else None) == status


def test_an_allowed_origin_may_call_by_its_own_name() -> None:
    """An allowed origin may call, and its host is a name the server answers to."""
    access = local(allowed_origins=("https://voice.example.com",))
    headers = {"Host": "voice.example.com", "Origin": "https://voice.example.com"}
    assert access.check_host("voice.example.com") is None
    assert access.check(headers) is None
    assert access.check(headers | {"Host": "localhost:8080"}) is None
    denial = access.check({"Host": "localhost", "Origin": "http://voice.example.com"})
    assert denial is not None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, None),
        ({"Authorization": f"bearer {TOKEN}"}, None),
        ({"Sec-WebSocket-Protocol": f"beluga.v1, beluga.token.{TOKEN}"}, None),
        ({}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": "Bearer "}, 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401),
        ({"Authorization": "Bearer \xff"}, 401),
        ({"Sec-WebSocket-Protocol": f"beluga.v1, {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}, 403),
    ],
)
def test_an_open_server_wants_its_token(headers: dict[str, str], status: int | None) -> None:
    """On an open address each call needs the token, in one of two headers."""
    access = Access(host="0.0.0.0", token=TOKEN)
    denial = access.check({"Host": "voice.example.com"} | headers)
    assert (denial.status if denial else None) == status


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"host": "0.0.0.0"}, "a token is needed"),
        ({"host": "::"}, "a token is needed"),
        ({"host": "voice.example.com"}, "a token is needed"),
        ({"host": "127.0.0.1", "token": "short"}, "secrets.token_urlsafe"),
        ({"host": "127.0.0.1", "token": "spaces are not carried"}, "secrets.token_urlsafe"),
        ({"host": "127.0.0.1", "allowed_origins": ("voice.example.com",)}, "not an origin"),
    ],
)
def test_unsafe_settings_are_refused(given: dict[str, object], advice: str) -> None:
    """Settings that would open the server to everybody are refused, with advice."""
    with pytest.raises(ConfigurationError, match=advice):
        Access(**given)  # type: ignore[arg-type]  # a table's columns


def test_an_open_server_without_token_must_be_asked_for() -> None:
    """An open address without a token is possible when it is asked for by name."""
    assert Access(host="0.0.0.0", allow_unauthenticated=True).check({"Host": "a.example"}) is None


@on_loop
async def test_refused_callers_get_no_websocket() -> None:
    """A caller without the token, or of a foreign page, is refused before the upgrade."""
    async with serving(access=local(token=TOKEN)) as server:
        for headers, status in (
            ({}, 401),
            ({"Origin": "http://evil.example"}, 403),
            ({"Host": "evil.example"}, 403),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await server.open(headers=headers)
            assert refused.value.status == status
        assert server.sessions.empty()


def test_a_page_brings_its_token_as_a_subprotocol(caplog: pytest.LogCaptureFixture) -> None:
    """The token opens the websocket, is not echoed, and is in no log line."""
    caplog.set_level(logging.DEBUG)

    @on_loop
    async def scenario() -> None:
        async with serving(access=local(token=TOKEN)) as server:
            caller = await server.open(protocols=("beluga.v1", f"beluga.token.{TOKEN}"))
            assert caller.protocol == "beluga.v1"
            await caller.close()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await server.open(protocols=(f"beluga.token.{TOKEN}",))
            assert refused.value.status == 400

    scenario()
    ours = [r.getMessage() for r in caplog.records if not r.name.startswith("aiohttp.client")]
    assert TOKEN not in "\n".join(ours)


@on_loop
async def test_the_page_and_its_files() -> None:
    """The page and each file it names are there, and come with the headers that protect them."""
    async with serving() as server:
        for path, kind in (
            ("/", "text/html"),
            ("/static/app.js", "text/javascript"),
            ("/static/call.js", "text/javascript"),
            ("/static/timeline.js", "text/javascript"),
            ("/static/resample.js", "text/javascript"),
            ("/static/capture-worklet.js", "text/javascript"),
            ("/static/playback-worklet.js", "text/javascript"),
            ("/static/style.css", "text/css"),
            ("/static/icon.svg", "image/svg+xml"),
        ):
            async with server.http.get(server.url + path) as answer:
                assert (answer.status, answer.content_type) == (200, kind), path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Referrer-Policy"] == "no-referrer"
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        async with server.http.get(server.url) as page:
            policy = page.headers["Content-Security-Policy"]
        authority = server.url.removeprefix("http://")
        assert f"connect-src 'self' ws://{authority} wss://{authority};" in policy
        assert "unsafe" not in policy


@on_loop
async def test_files_outside_are_not_served() -> None:
    """No path leads out of the folder of static files."""
    async with serving() as server:
        for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/", "/app.py"):
            reader, writer = await asyncio.open_connection(*server.url[7:].split(":"))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            status = await reader.readline()
            assert status.split()[1] in (b"403", b"404"), path
            writer.close()
            await writer.wait_closed()


@on_loop
async def test_labels_need_the_token() -> None:
    """The page learns who answers, with the token only."""
    labels = Labels(
        s2s="", stt="an stt", agent="an agent", tts="a tts", has_embedded_recognition=True
    )
    async with serving(access=local(token=TOKEN), labels=labels) as server:
        url = f"{server.url}/config.json"
        async with server.http.get(url) as answer:
            assert answer.status == 401
        async with server.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert await answer.json() == {
                "s2s": "",
                "stt": "an stt",
                "agent": "an agent",
                "tts": "a tts",
                "has_embedded_recognition": True,
            }


def never(line: object) -> object:
    raise AssertionError("nobody calls")


@on_loop
async def test_a_port_in_use_is_explained() -> None:
    """A port that is taken gives an error that says what to do."""
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        app = create_app(never, access=local())  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=f"port {port}: another program listens"):
            async with listening(app, host="127.0.0.1", port=port):
                pass


@on_loop
async def test_an_open_server_does_not_start_without_a_token() -> None:
    """`serve` refuses an open address without a token before it listens."""
    with pytest.raises(ConfigurationError, match="a token is needed"):
        await serve(never, host="0.0.0.0", port=0)  # type: ignore[arg-type]


async def in_call(http: aiohttp.ClientSession, url: str) -> aiohttp.ClientWebSocketResponse:
    caller = await http.ws_connect(f"{url}/ws")
    await caller.send_json({"type": "start", "version": 1})
    assert (await caller.receive_json())["type"] == "started"
    return caller


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_server_in_order(number: signal.Signals) -> None:
    """SIGINT and SIGTERM end the calls, close with 1001, and the program goes on to its end."""

    @on_loop
    async def scenario() -> None:
        process, url = await serving_program()
        async with aiohttp.ClientSession() as http:
            caller = await in_call(http, url)
            process.send_signal(number)
            while (message := await caller.receive()).type is WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)
            assert process.stdout is not None
            assert await process.stdout.read() == b"stopped in order\n"
            assert await process.wait() == 0

    scenario()


@on_loop
async def test_a_second_signal_kills() -> None:
    """A second SIGINT ends the program at once, though a session does not end."""
    process, url = await serving_program("stubborn")
    async with aiohttp.ClientSession() as http:
        await in_call(http, url)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"a call closes\n"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == -signal.SIGINT
