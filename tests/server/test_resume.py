"""Callers who lose their connection, and come back to their call over real sockets."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType
from scripted_session import ScriptedSession, Server, on_each_loop, on_loop, serving

from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.events import (
    CallClosed,
    CallerAudio,
    ClearPlayback,
    PlayAudio,
    PlaybackReported,
    Transcription,
    UserSpeechStarted,
    UtteranceId,
)

type Caller = aiohttp.ClientWebSocketResponse


def sound(first: int, last: int) -> bytes:
    """Samples that are their own positions."""
    return b"".join((n % 30_000).to_bytes(2, "little") for n in range(first, last))


async def start(server: Server) -> tuple[Caller, ScriptedSession, str]:
    """A caller who can come back: the websocket, the session, and the token."""
    caller = await server.open()
    await caller.send_json({"type": "start", "version": 1, "resume": True})
    session = await server.sessions.get()
    answer = await caller.receive_json()
    assert answer["type"] == "started"
    return caller, session, answer["resume"]["token"]


def drop(caller: Caller) -> None:
    """Lose the connection without a word, as a network does."""
    transport = caller.get_extra_info("socket")
    assert transport is not None
    caller._response.connection.transport.abort()  # type: ignore[union-attr]  # it is open


async def resume(
    server: Server, token: str, *, position: int = 0, event: int = 0
) -> tuple[Caller, dict[str, Any]]:
    """Come back with a token; the websocket, and the answer."""
    caller = await server.open()
    await caller.send_json(
        {"type": "resume", "version": 1, "token": token, "position": position, "event": event}
    )
    return caller, await caller.receive_json()


async def hear(caller: Caller, samples: int) -> bytes:
    """So much sound, and nothing else."""
    heard = b""
    while len(heard) < samples * 2:
        message = await caller.receive()
        assert message.type is WSMsgType.BINARY, message
        heard += message.data
    return heard


async def refusal(server: Server, token: str) -> tuple[str, str, int | None]:
    """How a token is refused: the code, the message, and how the connection is closed."""
    caller, answer = await resume(server, token)
    assert answer["type"] == "error"
    assert answer["is_fatal"]
    closing = await caller.receive()
    assert (closing.type, closing.extra) == (WSMsgType.CLOSE, answer["code"])
    return answer["code"], answer["message"], closing.data


@on_each_loop
async def test_a_call_outlives_its_connection() -> None:
    """What was not heard is sent again from the sample that is due, and the call goes on."""
    async with serving() as server:
        caller, session, token = await start(server)
        session.line.send(PlayAudio(pcm=sound(0, 480)))
        session.line.send(PlayAudio(pcm=sound(480, 960)))
        assert await hear(caller, 960) == sound(0, 960)
        await caller.send_json({"type": "heard", "position": 200, "ago_ms": 30})
        drop(caller)
        caller, answer = await resume(server, token, position=500)
        assert answer.pop("resume")["token"] != token
        assert answer == {
            "type": "resumed",
            "version": 1,
            "session_id": "scripted-1",
            "input_rate": 16000,
            "output_rate": 24000,
            "position": 500,
            "has_moved": False,
        }
        session.line.send(PlayAudio(pcm=sound(960, 1440)))
        assert await hear(caller, 940) == sound(500, 1440)
        assert session.reported == [PlaybackReported(unheard_ms=760 / 24, ago_ms=30)]
        await caller.send_bytes(b"\x01\x00" * 320)
        assert await session.received.get() == CallerAudio(pcm=b"\x01\x00" * 320)
        assert not session.is_closed.is_set()
        await caller.send_json({"type": "stop"})
        assert await session.received.get() == CallClosed(reason="stopped")
        await session.is_closed.wait()


@on_each_loop
async def test_what_is_said_while_nobody_is_there_is_heard_later() -> None:
    """Sound and events of the time between two connections come with the second one."""
    async with serving() as server:
        caller, session, token = await start(server)
        told = Transcription(utterance_id=UtteranceId("u"), text="one", is_final=True)
        session.tell(told)
        assert (await caller.receive_json())["event"]["n"] == 0
        drop(caller)
        assert (await calls(server))["calls"] == 1
        session.line.send(PlayAudio(pcm=sound(0, 480)))
        session.tell(told)
        session.tell(told)
        caller, answer = await resume(server, token, event=1)
        assert answer["position"] == 0
        events = [await caller.receive_json() for _ in range(2)]
        assert [event["event"]["n"] for event in events] == [1, 2]
        assert await hear(caller, 480) == sound(0, 480)


async def calls(server: Server) -> dict[str, Any]:
    async with server.http.get(f"{server.url}/health") as answer:
        found: dict[str, Any] = await answer.json()
        return found


@on_each_loop
async def test_what_was_cleared_meanwhile_stays_unheard() -> None:
    """A caller who missed a clear is told it, and hears what came after it only."""
    async with serving() as server:
        caller, session, token = await start(server)
        session.line.send(PlayAudio(pcm=sound(0, 480)))
        assert await hear(caller, 480) == sound(0, 480)
        drop(caller)
        session.line.send(ClearPlayback())
        session.line.send(PlayAudio(pcm=sound(480, 500)))
        caller, answer = await resume(server, token, position=100)
        assert answer["position"] == 480
        assert await caller.receive_json() == {"type": "clear", "position": 480}
        assert await hear(caller, 20) == sound(480, 500)


@on_each_loop
async def test_a_clear_says_where_sound_goes_on() -> None:
    """What a clear withdrew has positions of its own, so both sides count alike."""
    async with serving() as server:
        caller, session, _ = await start(server)
        for n in range(10):
            session.line.send(PlayAudio(pcm=sound(n * 4800, n * 4800 + 4800)))
        session.line.send(ClearPlayback())
        session.line.send(PlayAudio(pcm=sound(48000, 48010)))
        while (message := await caller.receive()).type is WSMsgType.BINARY:
            pass
        assert json.loads(message.data) == {"type": "clear", "position": 48000}
        assert await hear(caller, 10) == sound(48000, 48010)


@on_each_loop
async def test_much_unheard_sound_comes_as_it_is_heard() -> None:
    """After a long absence two seconds come at once, and the rest as those are heard."""
    async with serving() as server:
        caller, session, token = await start(server)
        drop(caller)
        second = 24_000
        for n in range(10):
            session.line.send(PlayAudio(pcm=sound(n * second, (n + 1) * second)))
        caller, _ = await resume(server, token)
        assert await hear(caller, 2 * second) == sound(0, 2 * second)
        await caller.ping()
        for n in range(2, 10):
            await caller.send_json({"type": "heard", "position": (n - 1) * second})
            assert await hear(caller, second) == sound(n * second, (n + 1) * second)


@on_each_loop
async def test_who_speaks_silences_what_is_overdue() -> None:
    """A person who comes back and speaks does not hear on what the session has done with."""
    async with serving() as server:
        caller, session, token = await start(server)
        drop(caller)
        session.line.send(PlayAudio(pcm=sound(0, 50_000)))
        caller, _ = await resume(server, token)
        assert await hear(caller, 50_000) == sound(0, 50_000)
        session.tell(UserSpeechStarted())
        assert await caller.receive_json() == {"type": "clear", "position": 50_000}
        assert (await caller.receive_json())["event"]["type"] == "user_speech_started"
        session.line.send(PlayAudio(pcm=sound(50_000, 50_010)))
        assert await hear(caller, 10) == sound(50_000, 50_010)
        session.tell(UserSpeechStarted())
        assert (await caller.receive_json())["type"] == "event", "nothing is overdue now"


@on_each_loop
async def test_a_used_token_is_refused() -> None:
    """Once the caller has shown that the next token arrived, the one before it is spent."""
    async with serving() as server:
        caller, _, first = await start(server)
        drop(caller)
        caller, _ = await resume(server, first)
        drop(caller)
        caller, answer = await resume(server, first)
        assert answer["type"] == "resumed", "the answer may have been lost"
        second = answer["resume"]["token"]
        await caller.send_json({"type": "heard", "position": 0})
        await caller.send_json({"type": "ping"})
        assert await caller.receive_json() == {"type": "pong"}
        assert await refusal(server, first) == (
            "resume_refused",
            "this token was used before, and each is good for one use; start a new call",
            WSCloseCode.POLICY_VIOLATION,
        )
        _, answer = await resume(server, second)
        assert answer["type"] == "resumed"


@on_each_loop
async def test_a_wrong_token_is_refused() -> None:
    """Who guesses is told so, no session is made, and no call is disturbed."""
    async with serving() as server:
        caller, session, _ = await start(server)
        code, message, _ = await refusal(server, "a guess")
        assert (code, message) == (
            "resume_refused",
            "this token is not known here; start a new call",
        )
        assert server.sessions.empty()
        await caller.send_bytes(b"\0\0")
        assert await session.received.get() == CallerAudio(pcm=b"\0\0")


@on_each_loop
async def test_who_stays_away_loses_the_call() -> None:
    """When the time is over the session ends in order, and the token is refused from then on."""
    async with serving(limits=Limits(resume_seconds=0.05)) as server:
        caller, session, token = await start(server)
        drop(caller)
        assert await session.received.get() == CallClosed(reason="not resumed")
        await session.is_closed.wait()
        _, message, _ = await refusal(server, token)
        assert message == "the call was not resumed in time; start a new call"


@on_each_loop
async def test_a_call_that_was_ended_is_over() -> None:
    """After `stop`, or an orderly close, nobody comes back."""

    async def stop(caller: Caller) -> None:
        await caller.send_json({"type": "stop"})

    async def close(caller: Caller) -> None:
        await caller.close()

    ways: list[Callable[[Caller], Awaitable[None]]] = [stop, close]
    async with serving() as server:
        for leave in ways:
            caller, session, token = await start(server)
            await leave(caller)
            assert isinstance(await session.received.get(), CallClosed)
            await session.is_closed.wait()
            while (answer := await calls(server))["calls"]:
                assert answer["calls"] == 1
            _, message, _ = await refusal(server, token)
            assert message == "the call is over; start a new call"


@on_each_loop
async def test_a_connection_that_is_half_open_is_found() -> None:
    """Who gives no sign of life within one and a half heartbeats is away, and can come back."""
    limits = Limits(heartbeat_seconds=0.1, close_seconds=0.05)
    async with serving(limits=limits) as server:
        caller = await server.open(autoping=False)
        await caller.send_json({"type": "start", "version": 1, "resume": True})
        session = await server.sessions.get()
        token = (await caller.receive_json())["resume"]["token"]
        assert (await caller.receive()).type is WSMsgType.PING
        while (await caller.receive()).type is not WSMsgType.CLOSE:
            pass
        session.line.send(PlayAudio(pcm=sound(0, 480)))
        caller, _ = await resume(server, token)
        assert await hear(caller, 480) == sound(0, 480)
        assert not session.is_closed.is_set()


@on_each_loop
async def test_a_caller_can_come_back_before_the_loss_is_noticed() -> None:
    """The second connection takes the place of the first, which is closed as replaced."""
    async with serving() as server:
        first, session, token = await start(server)
        second, answer = await resume(server, token)
        assert answer["type"] == "resumed"
        closing = await first.receive()
        assert (closing.type, closing.data, closing.extra) == (WSMsgType.CLOSE, 1000, "replaced")
        session.line.send(PlayAudio(pcm=sound(0, 480)))
        assert await hear(second, 480) == sound(0, 480)
        assert (await calls(server))["calls"] == 1


@on_each_loop
async def test_a_caller_who_did_not_read_can_come_back() -> None:
    """A connection that was too slow is closed, and what it did not take comes with the next."""
    limits = Limits(outbox_audio_seconds=1, close_seconds=0.1)
    async with serving(limits=limits) as server:
        caller, session, token = await start(server)
        sent = 0
        for _ in range(4200):  # more than any buffer on the way takes
            session.line.send(PlayAudio(pcm=sound(sent, sent + 2400)))
            sent += 2400
            await asyncio.sleep(0)  # lets the writer run; no time passes
        while (message := await caller.receive()).type is WSMsgType.BINARY:
            pass
        assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
        caller, answer = await resume(server, token, position=sent - 2400)
        assert answer["position"] == sent - 2400
        assert await hear(caller, 2400) == sound(sent - 2400, sent)
        assert not session.is_closed.is_set()


@on_each_loop
async def test_who_did_not_ask_for_it_gets_no_token() -> None:
    """Without `resume` in `start`, or where calls do not wait, a lost connection ends the call."""
    async with serving() as server:
        caller, session = await server.start()
        drop(caller)
        assert await session.received.get() == CallClosed(reason="caller left")
    async with serving(limits=Limits(resume_seconds=0)) as server:
        caller = await server.open()
        await caller.send_json({"type": "start", "version": 1, "resume": True})
        session = await server.sessions.get()
        assert "resume" not in await caller.receive_json()
        drop(caller)
        assert await session.received.get() == CallClosed(reason="caller left")


@on_each_loop
async def test_one_who_comes_back_is_let_in_when_all_lines_are_busy() -> None:
    """A call that waits keeps its place, and its caller needs no other; new callers are refused."""
    async with serving(limits=Limits(max_sessions=1)) as server:
        caller, session, token = await start(server)
        drop(caller)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await server.open()
        back = await server.http.ws_connect(f"{server.url}/ws?resume")
        server.callers.append(back)
        await back.send_json({"type": "resume", "version": 1, "token": token})
        assert (await back.receive_json())["type"] == "resumed"
        sneaky = await server.http.ws_connect(f"{server.url}/ws?resume")
        server.callers.append(sneaky)
        await sneaky.send_json({"type": "start", "version": 1})
        assert (await sneaky.receive_json())["code"] == "server_full"
        await back.send_bytes(b"\0\0")
        assert await session.received.get() == CallerAudio(pcm=b"\0\0")


@on_each_loop
async def test_stopping_the_server_ends_calls_that_wait() -> None:
    """A call whose caller is away is ended like any other when the server stops."""
    async with serving() as server:
        caller, session, _ = await start(server)
        drop(caller)
    assert session.is_closed.is_set()
    assert CallClosed(reason="server_stopping") in drained(session)


def drained(session: ScriptedSession) -> list[object]:
    found: list[object] = []
    while not session.received.empty():
        found.append(session.received.get_nowait())
    return found


@on_loop
async def test_a_session_that_ends_while_its_caller_is_away_is_over() -> None:
    """When the agent hangs up meanwhile, the caller who comes back is told that it is over."""
    async with serving() as server:
        caller, session, token = await start(server)
        drop(caller)
        session.end()
        await session.is_closed.wait()
        while (await calls(server))["calls"]:
            pass
        _, message, _ = await refusal(server, token)
        assert message == "the call is over; start a new call"
