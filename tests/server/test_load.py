"""More callers than there are places: those who are in a call do not notice."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType, web
from scripted_session import ScriptedSession, Server, on_each_loop, on_loop, serving

from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.events import CallerAudio, PlayAudio
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening, serve

PLACES = 10
FRAMES = 50


def frame(number: int) -> bytes:
    return number.to_bytes(2, "little") * 480


async def talk(caller: aiohttp.ClientWebSocketResponse, session: ScriptedSession) -> None:
    """Frames both ways, each of which has to arrive, in order, and alone."""
    for number in range(FRAMES):
        await caller.send_bytes(frame(number))
        assert await session.received.get() == CallerAudio(pcm=frame(number))
        session.line.send(PlayAudio(pcm=frame(number)))
        message = await caller.receive()
        assert (message.type, message.data) == (WSMsgType.BINARY, frame(number))


async def program_refused(server: Server) -> None:
    """One program too many."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.http.ws_connect(f"{server.url}/ws")
    assert refused.value.status == 503
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "30"


async def page_refused(server: Server) -> None:
    """One page too many."""
    caller = await server.open(headers={"Origin": server.url})
    answer = json.loads((await caller.receive()).data)
    assert (answer["code"], answer["is_fatal"]) == ("server_full", True)
    closing = await caller.receive()
    assert (closing.data, closing.extra) == (WSCloseCode.TRY_AGAIN_LATER, "server_full")


@on_each_loop
async def test_twice_the_load_disturbs_nobody() -> None:
    """While as many again try to get in all the time, no frame of a call is lost or late."""
    async with serving(limits=Limits(max_sessions=PLACES)) as server:
        calls = [await server.start() for _ in range(PLACES)]
        async with asyncio.TaskGroup() as group:
            for caller, session in calls:
                group.create_task(talk(caller, session))
                for _ in range(5):
                    group.create_task(program_refused(server))
                    group.create_task(page_refused(server))
        async with server.http.get(f"{server.url}/health") as answer:
            assert (await answer.json())["calls"] == PLACES
        assert server.sessions.empty(), "nobody else got a session"


@on_loop
async def test_one_tenant_leaves_room_for_others() -> None:
    """A tenant with all the calls it may have gets 429, or is told on its page; others call."""

    def tenant_of(request: web.Request) -> str:
        return request.headers.get("X-Tenant", "")

    limits = Limits(max_sessions=5, max_sessions_per_tenant=1)
    async with serving(limits=limits, tenant_of=tenant_of) as server:
        mary = {"X-Tenant": "mary"}
        await server.open(headers=mary)
        async with server.http.get(f"{server.url}/ws", headers=mary) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
            assert await answer.json() == {
                "error": "the most calls you may have here at once is 1; end one of them first",
                "code": "tenant_full",
            }
        page = await server.open(headers={**mary, "Origin": server.url})
        assert json.loads((await page.receive()).data)["code"] == "tenant_full"
        peter = await server.open(headers={"X-Tenant": "peter"})
        await peter.send_json({"type": "start", "version": 1})
        assert (await peter.receive_json())["type"] == "started"


@on_loop
async def test_without_a_key_an_address_is_a_tenant() -> None:
    """Where nothing tells callers apart, the address does."""
    async with serving(limits=Limits(max_sessions_per_tenant=1)) as server:
        await server.open()
        async with server.http.get(f"{server.url}/ws") as answer:
            assert answer.status == 429


@on_loop
async def test_a_request_that_is_no_websocket_takes_no_place() -> None:
    """What cannot become a call is refused, and nothing of it is counted afterwards."""
    async with serving(limits=Limits(max_sessions=1)) as server:
        async with server.http.get(f"{server.url}/ws") as answer:
            assert answer.status == 400
        caller, _ = await server.start()
        assert not caller.closed


@on_loop
async def test_a_provider_can_have_a_limit_of_its_own() -> None:
    """Calls over a provider that has enough are refused, and those over another are not."""
    made: list[Any] = []

    def make(line: Any) -> ScriptedSession:
        made.append(line)
        return ScriptedSession(line, len(made))

    app = create_app(
        make,
        access=Access(host="127.0.0.1"),
        limits=Limits(max_sessions_per_provider=1),
        provider_of=lambda request: request.query["over"],
    )
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws?over=one"),
        http.ws_connect(f"{url}/ws?over=two"),
        http.get(f"{url}/ws?over=one") as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (503, "provider_full")


def test_the_server_takes_the_same_settings() -> None:
    """`serve` has what `create_app` has, and how long draining may take."""
    names = set(create_app.__kwdefaults__ or {}) - {"labels"}
    assert names <= set(serve.__kwdefaults__ or {})
