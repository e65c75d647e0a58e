"""Callers who send what nobody should: it was harmful once."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from scripted_session import on_each_loop, serving

from beluga_voice.events import (
    CallerAudio,
    CallerText,
    FunctionAnswered,
    FunctionCalled,
    S2sCommand,
    S2sEvent,
    SendAudio,
    SendText,
    ToolCallId,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, TurnOwner
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening
from beluga_voice.session.session import Session
from beluga_voice.testing.scripted import ScriptedLink

TOKEN = "a-token-of-good-length"


@on_each_loop
async def test_an_empty_message_is_sound_without_a_sample() -> None:
    """Empty binary messages are taken without a word, and the sound after them is whole."""
    async with serving() as server:
        caller, session = await server.start()
        for pcm in (b"", b"\x01\x00" * 320, b""):
            await caller.send_bytes(pcm)
        await caller.send_json({"type": "text", "text": "hello"})
        received = [await session.received.get() for _ in range(4)]
        assert [one for one in received if one != CallerAudio(pcm=b"")] == [
            CallerAudio(pcm=b"\x01\x00" * 320),
            CallerText(text="hello"),
        ]


class Ear(ScriptedLink[S2sCommand, S2sEvent]):
    """A service's side that notes how long each piece of sound is."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def send(self, command: S2sCommand, /) -> None:
        """Called by the session."""
        if isinstance(command, SendAudio):
            self.lengths.append(len(command.pcm))
        super().send(command)


class EarOnly:
    """A service that listens and never speaks."""

    name = "ear"
    capabilities = Capabilities(
        turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True, has_text_input=True
    )

    def __init__(self) -> None:
        self.ears: asyncio.Queue[Ear] = asyncio.Queue()

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[Ear]:
        """One ear for each call."""
        ear = Ear()
        self.ears.put_nowait(ear)
        yield ear


@on_each_loop
async def test_no_empty_sound_reaches_the_service() -> None:
    """A real session passes on what sounds, in the pieces in which it came, and nothing else."""
    service = EarOnly()
    access = Access(host="127.0.0.1")
    app = create_app(lambda line: Session(service, line=line), access=access)
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws") as caller,
    ):
        await caller.send_json({"type": "start", "version": 1})
        ear = await service.ears.get()
        assert (await caller.receive_json())["type"] == "started"
        for length in (0, 640, 0, 0, 320, 0):
            await caller.send_bytes(b"\x01" * length)
        await caller.send_json({"type": "text", "text": "over"})
        await ear.expect(SendText, text="over")
        assert ear.lengths == [640, 320]


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer \xff\xfe" + TOKEN.encode(),
        b"Authorization: Bearer " + TOKEN.encode() + b"\xff",
        b"Authorization: Bearer caf\xe9caf\xe9caf\xe9caf\xe9",
        b"Sec-WebSocket-Protocol: beluga.v1, beluga.token." + TOKEN.encode() + b"\xc3",
    ],
)
def test_a_token_that_is_no_text_is_a_wrong_token(header: bytes) -> None:
    """Bytes that are not UTF-8 are refused with 401 like any other wrong token."""

    @on_each_loop
    async def scenario() -> None:
        async with serving(access=Access(host="127.0.0.1", token=TOKEN)) as server:
            place = server.url.removeprefix("http://")
            host, _, port = place.partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(
                    b"GET /ws HTTP/1.1\r\n"
                    b"Host: " + place.encode() + b"\r\n"
                    b"Upgrade: websocket\r\n"
                    b"Connection: Upgrade\r\n"
                    b"Sec-WebSocket-Version: 13\r\n"
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + header + b"\r\n\r\n"
                )
                answer = await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
                await writer.wait_closed()
            status, *headers = answer.decode().split("\r\n")
            assert status == "HTTP/1.1 401 Unauthorized"
            assert "WWW-Authenticate: Bearer" in headers
            assert server.sessions.empty()

    scenario()


@on_each_loop
async def test_what_tools_are_given_and_give_is_not_told_to_callers() -> None:
    """A caller sees that a tool runs, how it is called and how long it took, and no data of it."""
    async with serving() as server:
        caller, session = await server.start()
        call_id = ToolCallId("c1")
        session.tell(FunctionCalled(call_id=call_id, name="account", arguments='{"pin": "4711"}'))
        session.tell(
            FunctionAnswered(
                call_id=call_id,
                name="account",
                output="a balance of 4711 euros",
                is_error=False,
                duration_ms=12.5,
            )
        )
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="thanks", is_final=True))
        told = [(await caller.receive_json())["event"] for _ in range(3)]
        called, answered, said = told
        assert (called["type"], called["name"], called["arguments"]) == (
            "function_called",
            "account",
            "",
        )
        assert (answered["type"], answered["name"], answered["output"]) == (
            "function_answered",
            "account",
            "",
        )
        assert (answered["is_error"], answered["duration_ms"]) == (False, 12.5)
        assert said["text"] == "thanks"
        assert "4711" not in json.dumps(told)
