"""A caller is told where a call goes on with which nobody here can."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from scripted_session import on_each_loop, serving

from beluga_voice.app import VoiceSession
from beluga_voice.engine.deadlines import DeadAirSettings
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.errors import Denied
from beluga_voice.events import SessionEnded, Transfer
from beluga_voice.interfaces import Line, S2sOptions, SttOptions
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

TO = "sip:desk@example.com"
AT_ONCE = EngineSettings(dead_air=DeadAirSettings(answer_ms=50, transfer_ms=50))


class Refusing(ScriptedStt):
    """A recogniser that lets nobody in."""

    def connect(self, options: SttOptions | S2sOptions, /) -> Any:
        raise Denied("wrong key")


async def never(text: str) -> str:
    """Think for ever."""
    await asyncio.get_running_loop().create_future()
    return text


async def all_of(caller: aiohttp.ClientWebSocketResponse) -> tuple[list[dict[str, Any]], Any]:
    """The messages that come, and how the connection ends."""
    messages: list[dict[str, Any]] = []
    while (message := await caller.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
        if message.type is WSMsgType.TEXT:
            messages.append(json.loads(message.data))
    return messages, (message.data, message.extra)


@asynccontextmanager
async def calling(stt: ScriptedStt) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    """A caller of a server with an agent that never answers, and somebody to transfer to."""

    def make(line: Line) -> VoiceSession:
        return VoiceSession(
            stt=stt,
            agent=never,
            tts=ScriptedTts(),
            vad=ScriptedVad(),
            line=line,
            settings=AT_ONCE,
            ready_words=None,
            transfer=TO,
        )

    app = create_app(make, access=Access(host="127.0.0.1"))
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws") as caller,
    ):
        await caller.send_json({"type": "start", "version": 1})
        yield caller


@on_each_loop
async def test_a_caller_is_told_where_the_call_goes_on() -> None:
    """The rung is told of like any other, and then the connection is closed in order."""
    async with calling(ScriptedStt()) as caller:
        assert (await caller.receive_json())["type"] == "started"
        await caller.send_json({"type": "text", "text": "hello"})
        messages, close = await all_of(caller)
        by_kind = {one["type"]: one for one in (one.get("event", one) for one in messages)}
        assert by_kind["transfer"] == {"type": "transfer", "to": TO, "reason": "nobody answers"}
        assert by_kind["dead_air"]["rung"] == "transfer"
        assert by_kind["session_ended"]["reason"] == "transferred"
        assert close == (1000, "transferred")


@on_each_loop
async def test_a_caller_whose_call_cannot_begin_is_told_too() -> None:
    """In place of a failure."""
    async with calling(Refusing()) as caller:
        messages, close = await all_of(caller)
        told = [one for one in messages if one["type"] != "clear"]
        assert told == [{"type": "transfer", "to": TO, "reason": "nobody answers"}]
        assert close == (1000, "transferred")


@on_each_loop
async def test_a_session_of_any_kind_can_transfer() -> None:
    """The line says that it can, and the call is over when it was told to."""
    async with serving() as server:
        caller, session = await server.start()
        assert session.line.options.can_transfer
        session.line.send(Transfer(to="7", reason="lunch"))
        session.tell(SessionEnded(reason="transferred"))
        session.end()
        messages, close = await all_of(caller)
        assert messages[0] == {"type": "transfer", "to": "7", "reason": "lunch"}
        assert close == (1000, "transferred")
