"""Calls over real sockets, from a caller that behaves, and from callers that do not."""

import asyncio
import json
import logging
import os
import socket
import struct
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType
from scripted_session import ScriptedSession, Server, on_each_loop, serving

from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.errors import CallEnded, Rejected
from beluga_voice.events import (
    AgentResponseAudio,
    CallClosed,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    ClearPlayback,
    HangUp,
    KeyPressed,
    PlayAudio,
    ResponseId,
    TalkKey,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import Line, LineOptions
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening

type Caller = aiohttp.ClientWebSocketResponse


async def ending(caller: Caller) -> tuple[list[Any], int | None, str]:
    """What still comes, the code it closes with, and the reason."""
    messages: list[Any] = []
    while True:
        message = await caller.receive()
        match message.type:
            case WSMsgType.TEXT:
                messages.append(json.loads(message.data))
            case WSMsgType.BINARY:
                messages.append(message.data)
            case WSMsgType.CLOSE:
                return messages, message.data, message.extra or ""
            case _:
                return messages, caller.close_code, ""


async def talk_until_the_call_ends(session: ScriptedSession) -> int:
    """Send sound for as long as the line takes it; the bytes that it took."""
    sent = 0
    with suppress(CallEnded):
        while True:
            session.line.send(PlayAudio(pcm=b"\0\0" * 2400))
            sent += 4800
            await asyncio.sleep(0)  # lets the writer run; no time passes
    return sent


def take_little(caller: Caller) -> None:
    """Let the caller's system, too, hold little that the caller has not read."""
    line = caller.get_extra_info("socket")
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


async def assert_answers(server: Server) -> None:
    """The next caller is served."""
    caller, session = await server.start()
    await caller.send_bytes(b"\x01\x00" * 320)
    assert await session.received.get() == CallerAudio(pcm=b"\x01\x00" * 320)
    session.line.send(PlayAudio(pcm=b"\x02\x00" * 480))
    assert await caller.receive_bytes() == b"\x02\x00" * 480
    await caller.close()
    assert isinstance(await session.received.get(), CallClosed)
    await session.is_closed.wait()


@on_each_loop
async def test_a_whole_call() -> None:
    """Sound, text, orders and events travel both ways, and `stop` ends the call in order."""
    async with serving(limits=Limits(lead_ms=80)) as server:
        caller, session = await server.start(input_rate=8000, output_rate=48000)
        assert session.line.options == LineOptions(
            input_rate=8000, output_rate=48000, lead_ms=80, can_transfer=True
        )
        await caller.send_bytes(b"\x01\x00" * 160)
        await caller.send_json({"type": "text", "text": "hello"})
        await caller.send_json({"type": "interrupt"})
        await caller.send_json({"type": "key", "key": "5"})
        await caller.send_json({"type": "talk_key", "is_down": False})
        assert [await session.received.get() for _ in range(5)] == [
            CallerAudio(pcm=b"\x01\x00" * 160),
            CallerText(text="hello"),
            CallerInterrupt(),
            KeyPressed(key="5"),
            TalkKey(is_down=False),
        ]
        session.line.send(PlayAudio(pcm=b"\x02\x00" * 960))
        assert await caller.receive_bytes() == b"\x02\x00" * 960
        session.tell(Transcription(utterance_id=UtteranceId("u1"), text="hello", is_final=True))
        assert await caller.receive_json() == {
            "type": "event",
            "event": {
                "v": 1,
                "n": 0,
                "at_ms": 0.0,
                "type": "transcription",
                "utterance_id": "u1",
                "text": "hello",
                "is_final": True,
            },
        }
        await caller.send_json({"type": "stop"})
        assert await session.received.get() == CallClosed(reason="stopped")
        messages, code, reason = await ending(caller)
        assert [message["event"]["type"] for message in messages] == ["session_ended"]
        assert (code, reason) == (WSCloseCode.OK, "stopped")
        await session.is_closed.wait()


@on_each_loop
async def test_sound_events_are_not_told_twice() -> None:
    """Sound goes out as binary messages only, never as an event."""
    async with serving() as server:
        caller, session = await server.start()
        session.tell(AgentResponseAudio(response_id=ResponseId("r1"), pcm=b"\0\0"))
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="a", is_final=False))
        assert (await caller.receive_json())["event"]["type"] == "transcription"


@on_each_loop
async def test_clear_overtakes_and_withdraws_sound() -> None:
    """A clear withdraws all sound that was not written, and comes before all that follows."""
    async with serving() as server:
        caller, session = await server.start()
        for _ in range(10):
            session.line.send(PlayAudio(pcm=b"\x01\x00" * 4800))  # more than is written at once
        session.line.send(ClearPlayback())
        session.line.send(PlayAudio(pcm=b"\x02\x00" * 480))
        assert await caller.receive_json() == {"type": "clear"}
        assert await caller.receive_bytes() == b"\x02\x00" * 480


@on_each_loop
async def test_the_session_can_hang_up() -> None:
    """`HangUp` writes what was sent before it, then closes the connection in order."""
    async with serving() as server:
        caller, session = await server.start()
        session.line.send(PlayAudio(pcm=b"\x01\x00" * 480))
        session.line.send(HangUp(reason="done"))
        messages, code, reason = await ending(caller)
        assert messages[0] == b"\x01\x00" * 480
        assert (code, reason) == (WSCloseCode.OK, "hung_up")
        with pytest.raises(CallEnded):
            session.line.send(PlayAudio(pcm=b"\0\0"))


@on_each_loop
async def test_a_session_that_ends_closes_the_connection() -> None:
    """When the session ends by itself its last event is delivered and the connection closed."""
    async with serving() as server:
        caller, session = await server.start()
        session.end()
        messages, code, reason = await ending(caller)
        assert [message["event"]["type"] for message in messages] == ["session_ended"]
        assert (code, reason) == (WSCloseCode.OK, "ended")


@on_each_loop
async def test_malformed_messages_are_answered_and_the_call_goes_on() -> None:
    """Each malformed message is answered with its code, and the call goes on."""
    async with serving() as server:
        caller, session = await server.start()
        codes: list[str] = []
        for bad in ("{", '{"type": "dance"}', '{"type": "text"}', '{"type":"start","version":1}'):
            await caller.send_str(bad)
            answer = await caller.receive_json()
            assert answer["type"] == "error"
            assert answer["is_fatal"] is False
            codes.append(answer["code"])
        await caller.send_bytes(b"\0" * 641)
        codes.append((await caller.receive_json())["code"])
        assert codes == [
            "invalid_json",
            "unknown_type",
            "invalid_field",
            "already_started",
            "invalid_audio_format",
        ]
        await caller.send_bytes(b"\0" * 64 * 1024)
        assert await session.received.get() == CallerAudio(pcm=b"\0" * 64 * 1024)


@on_each_loop
async def test_sound_before_the_start_is_refused() -> None:
    """Sound before the start is answered with an error, no session is made, and others can call."""
    async with serving() as server:
        caller = await server.open()
        await caller.send_bytes(b"\0\0" * 320)
        messages, code, reason = await ending(caller)
        assert [message["code"] for message in messages] == ["not_started"]
        assert (code, reason) == (WSCloseCode.POLICY_VIOLATION, "not_started")
        assert server.sessions.empty()
        await assert_answers(server)


@on_each_loop
async def test_a_connection_that_never_starts_is_closed() -> None:
    """A connection that says nothing is told so and closed when its time is over."""
    async with serving(limits=Limits(start_seconds=0.02)) as server:
        caller = await server.open()
        messages, code, reason = await ending(caller)
        assert [message["code"] for message in messages] == ["start_timeout"]
        assert (code, reason) == (WSCloseCode.POLICY_VIOLATION, "start_timeout")


@on_each_loop
async def test_an_idle_caller_is_closed() -> None:
    """A caller who sends nothing for long is told so, and their session ends."""
    async with serving(limits=Limits(idle_seconds=0.02)) as server:
        caller, session = await server.start()
        messages, code, reason = await ending(caller)
        assert messages[-1]["code"] == "idle"
        assert (code, reason) == (WSCloseCode.POLICY_VIOLATION, "idle")
        assert await session.received.get() == CallClosed(reason="idle")


@on_each_loop
async def test_a_flood_ends_the_call() -> None:
    """A caller who sends messages too fast is told so, and the next caller is served."""
    async with serving() as server:
        caller, session = await server.start()
        for _ in range(500):
            await caller.send_json({"type": "interrupt"})
        messages, code, reason = await ending(caller)
        assert messages[-1]["code"] == "too_fast"
        assert (code, reason) == (WSCloseCode.POLICY_VIOLATION, "too_fast")
        await session.is_closed.wait()
        await assert_answers(server)


@on_each_loop
async def test_a_message_over_the_cap_ends_the_call() -> None:
    """A message one byte longer than the cap closes the call with 1009."""
    async with serving() as server:
        caller, session = await server.start()
        await caller.send_bytes(b"\0" * (64 * 1024 + 1))
        _, code, reason = await ending(caller)
        assert (code, reason) == (WSCloseCode.MESSAGE_TOO_BIG, "too_large")
        assert await session.received.get() == CallClosed(reason="too_large")
        await assert_answers(server)


@on_each_loop
async def test_a_huge_message_ends_the_call_only() -> None:
    """Ten megabytes in one message end that call; the next caller is served."""
    async with serving() as server:
        caller, session = await server.start()
        with suppress(ConnectionError):  # it may be closed before all of it was written
            await caller.send_bytes(b"\0" * 10_000_000)
        assert await session.received.get() == CallClosed(reason="too_large")
        await session.is_closed.wait()
        await assert_answers(server)


@on_each_loop
async def test_a_caller_who_never_reads_is_cut_off() -> None:
    """When a caller does not read, the call ends after a bounded amount of waiting sound."""
    limits = Limits(outbox_audio_seconds=1, close_seconds=1)
    async with serving(limits=limits) as server:
        caller, session = await server.start()
        take_little(caller)
        sent = await talk_until_the_call_ends(session)
        assert await session.received.get() == CallClosed(reason="too_slow")
        await session.is_closed.wait()
        messages, code, _ = await ending(caller)
        received = sum(len(message) for message in messages if isinstance(message, bytes))
        assert sent - received >= 48_000
        assert code in (WSCloseCode.POLICY_VIOLATION, WSCloseCode.ABNORMAL_CLOSURE)
        await assert_answers(server)


@on_each_loop
async def test_the_system_holds_little_for_a_caller_who_does_not_read() -> None:
    """What can still be withdrawn is with us: the system's buffers take a fraction of a second."""
    async with serving(limits=Limits(outbox_audio_seconds=1, close_seconds=1)) as server:
        caller, session = await server.start()
        take_little(caller)
        sent = await talk_until_the_call_ends(session)
        assert sent < 20 * 48_000  # left alone, the system takes a minute of it and more
        await ending(caller)


@on_each_loop
async def test_nothing_is_kept_open_for_a_caller_who_does_not_read() -> None:
    """A caller who was cut off, and neither reads nor leaves, costs the server no descriptor."""
    async with serving(limits=Limits(outbox_audio_seconds=1, close_seconds=0.05)) as server:
        before = len(os.listdir("/dev/fd"))
        caller, session = await server.start()
        take_little(caller)
        await talk_until_the_call_ends(session)
        await session.is_closed.wait()
        while len(os.listdir("/dev/fd")) > before + 1:  # the caller's own
            await asyncio.sleep(0)
        assert not caller.closed


@on_each_loop
async def test_what_is_said_before_the_call_listens_is_not_lost() -> None:
    """Text, orders and keys that follow `start` at once reach the session; sound does not."""
    hold = asyncio.Event()

    def slow(session: ScriptedSession) -> None:
        session.may_begin = hold

    async with serving(prepare=slow) as server:
        caller = await server.open()
        await caller.send_json({"type": "start", "version": 1})
        await caller.send_json({"type": "talk_key", "is_down": True})
        await caller.send_bytes(b"\x01\x00" * 320)
        await caller.send_json({"type": "text", "text": "hello"})
        session = await server.sessions.get()
        await caller.send_json({"type": "ping"})
        assert (await caller.receive_json())["type"] == "pong"  # all that was sent has come
        hold.set()
        assert (await caller.receive_json())["type"] == "started"
        early = [await session.received.get() for _ in range(2)]
        assert early == [TalkKey(is_down=True), CallerText(text="hello")]


@on_each_loop
async def test_too_much_before_the_call_listens_is_refused() -> None:
    """A caller who does not wait for `started` is told to, after 32 messages."""

    def slow(session: ScriptedSession) -> None:
        session.may_begin = asyncio.Event()

    async with serving(limits=Limits(close_seconds=0.05), prepare=slow) as server:
        caller = await server.open()
        await caller.send_json({"type": "start", "version": 1})
        for _ in range(33):
            await caller.send_json({"type": "interrupt"})
        messages, code, reason = await ending(caller)
        assert [message["code"] for message in messages] == ["too_fast"]
        assert "wait for" in messages[0]["message"]
        assert (code, reason) == (WSCloseCode.POLICY_VIOLATION, "too_fast")


@on_each_loop
async def test_a_caller_who_vanishes_leaves_nothing() -> None:
    """A connection that breaks while the agent speaks ends its session and nothing else."""
    async with serving() as server:
        async with aiohttp.ClientSession() as doomed:
            caller = await doomed.ws_connect(f"{server.url}/ws")
            await caller.send_json({"type": "start", "version": 1})
            session = await server.sessions.get()
            session.line.send(PlayAudio(pcm=b"\0\0" * 48000))
            await caller.receive_json()
            line = caller.get_extra_info("socket")
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert isinstance(await session.received.get(), CallClosed)
        await session.is_closed.wait()
        await caller.close()
        await talk_until_the_call_ends(session)
        await assert_answers(server)


@on_each_loop
async def test_a_session_that_does_not_end_is_ended() -> None:
    """A session that ignores the caller's leaving is closed when its time is over."""

    def stubborn(session: ScriptedSession) -> None:
        session.ends_on_close = False

    async with serving(limits=Limits(close_seconds=0.05), prepare=stubborn) as server:
        caller, session = await server.start()
        await caller.send_json({"type": "stop"})
        _, code, _ = await ending(caller)
        assert code == WSCloseCode.OK
        await session.is_closed.wait()


@on_each_loop
async def test_one_caller_too_many() -> None:
    """When all lines are busy the next caller is told so, and is served when one is free.

    A page is told on the websocket, because it cannot see the status of the answer.
    """
    async with serving(limits=Limits(max_sessions=1)) as server:
        first, session = await server.start()
        second = await server.open(headers={"Origin": server.url})
        messages, code, reason = await ending(second)
        assert [message["code"] for message in messages] == ["server_full"]
        assert (code, reason) == (WSCloseCode.TRY_AGAIN_LATER, "server_full")
        async with server.http.get(f"{server.url}/ws") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
            assert await answer.json() == {
                "error": "all 1 lines are busy; try again in a minute",
                "code": "server_full",
            }
        async with server.http.get(f"{server.url}/health") as health:
            assert await health.json() == {"status": "ok", "calls": 1, "max_calls": 1}
        await first.send_json({"type": "stop"})
        await ending(first)
        await session.is_closed.wait()
        await assert_answers(server)


@on_each_loop
async def test_stopping_the_server_ends_calls_in_order() -> None:
    """A server that stops tells its callers, ends their sessions and closes with 1001."""
    async with aiohttp.ClientSession() as http:
        async with serving() as server:
            caller = await http.ws_connect(f"{server.url}/ws")
            await caller.send_json({"type": "start", "version": 1})
            session = await server.sessions.get()
            assert (await caller.receive_json())["type"] == "started"
            stopping = asyncio.create_task(ending(caller), name="the test's")
            server.own_tasks.add(stopping)
        messages, code, reason = await stopping
        assert [message.get("code") for message in messages] == [None, "server_stopping"]
        assert (code, reason) == (WSCloseCode.GOING_AWAY, "server_stopping")
        assert session.is_closed.is_set()


@on_each_loop
async def test_pings_are_answered() -> None:
    """A ping is answered with its own bytes."""
    async with serving() as server:
        caller = await server.http.ws_connect(f"{server.url}/ws", autoping=False)
        server.callers.append(caller)
        await caller.ping(b"are you there")
        answer = await caller.receive()
        assert (answer.type, answer.data) == (WSMsgType.PONG, b"are you there")


@on_each_loop
async def test_a_caller_who_gives_no_sign_of_life_is_let_go() -> None:
    """Who answers pings keeps the call; who sends nothing and leaves one unanswered loses it."""
    async with serving(limits=Limits(heartbeat_seconds=0.2, close_seconds=0.1)) as server:
        caller, session = await server.start(autoping=False)
        for _ in range(3):
            asked = await caller.receive()
            assert asked.type is WSMsgType.PING
            await caller.pong(asked.data)
        assert not session.is_closed.is_set()
        assert (await caller.receive()).type is WSMsgType.PING
        await session.is_closed.wait()
        gone = await session.received.get()
        assert gone == CallClosed(reason="caller left")


async def answer_of_a_broken_server(failure: Exception) -> tuple[list[Any], int | None]:
    def make_session(line: Line) -> ScriptedSession:
        raise failure

    app = create_app(make_session, access=Access(host="127.0.0.1"))
    async with listening(app, host="127.0.0.1", port=0) as url, aiohttp.ClientSession() as http:
        endings: list[tuple[list[Any], int | None, str]] = []
        for _ in range(2):
            caller = await http.ws_connect(f"{url}/ws")
            await caller.send_json({"type": "start", "version": 1})
            endings.append(await ending(caller))
        assert endings[0] == endings[1]
        messages, code, _ = endings[1]
        return messages, code


@on_each_loop
async def test_a_session_that_cannot_be_made_is_explained() -> None:
    """An error of ours is told to the caller, who is closed with 1011; the server goes on."""
    failure = Rejected("the key has no quota", op="example")
    messages, code = await answer_of_a_broken_server(failure)
    assert [(m["code"], m["message"]) for m in messages] == [
        ("session_failed", "example: the key has no quota")
    ]
    assert code == WSCloseCode.INTERNAL_ERROR


def test_foreign_failures_are_not_quoted(caplog: pytest.LogCaptureFixture) -> None:
    """What a foreign exception says is neither told nor logged, but its kind and place are."""
    caplog.set_level(logging.DEBUG)

    @on_each_loop
    async def scenario() -> None:
        messages, code = await answer_of_a_broken_server(ValueError("my card number is 1234"))
        assert "1234" not in json.dumps(messages)
        assert code == WSCloseCode.INTERNAL_ERROR

    scenario()
    assert "1234" not in caplog.text
    assert "ValueError at " in caplog.text


def test_words_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that was said or typed is in the log, at any level."""
    caplog.set_level(logging.DEBUG)

    @on_each_loop
    async def scenario() -> None:
        async with serving() as server:
            caller, session = await server.start()
            await caller.send_json({"type": "text", "text": "xylophone"})
            await caller.send_str('{"type": "text", "text": 7, "xylophone": 1}')
            await caller.send_str("xylophone")
            await session.received.get()
            session.tell(
                Transcription(utterance_id=UtteranceId("u"), text="xylophone", is_final=True)
            )
            await caller.send_json({"type": "stop"})
            await ending(caller)

    scenario()
    assert "call of session scripted-1 ended: stopped" in caplog.text
    assert "xylophone" not in caplog.text
