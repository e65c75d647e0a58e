"""A server that stops: turns finish, calls move to another one, and the rest is ended."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import aiohttp
import pytest
import scripted_session
from aiohttp import WSCloseCode, WSMsgType
from scripted_session import Scenario, ScriptedSession

from beluga_voice.app import VoiceSession
from beluga_voice.backends.websocket import Checkpoints, Limits, WebSocketCarrier
from beluga_voice.checkpoints.checkpoint import Checkpoint
from beluga_voice.checkpoints.store import CheckpointStore, InMemoryCheckpoints
from beluga_voice.errors import Rejected, Unreachable
from beluga_voice.events import (
    AgentResponseEnded,
    CallClosed,
    ClearPlayback,
    HistoryItem,
    Message,
    PlayAudio,
    ResponseId,
    ResponseOutcome,
    Role,
    S2sCommand,
    S2sEvent,
    SessionState,
    StateChanged,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import Line
from beluga_voice.resilience.limited import Limited
from beluga_voice.server.access import Access
from beluga_voice.server.app import CARRIER, create_app, listening
from beluga_voice.testing.scripted import ScriptedLink, ScriptedProvider, ScriptedVad

type Caller = aiohttp.ClientWebSocketResponse

SAID: tuple[HistoryItem, ...] = (
    Message(role=Role.USER, text="what time is it"),
    Message(role=Role.AGENT, text="It is", is_cut=True),
)


@dataclass
class Process:
    """One of several servers that share a store."""

    url: str
    http: aiohttp.ClientSession
    carrier: WebSocketCarrier
    sessions: asyncio.Queue[ScriptedSession] = field(default_factory=asyncio.Queue)
    resumed: list[Checkpoint] = field(default_factory=list[Checkpoint])
    fails: bool = False
    """It cannot go on with the calls of others."""

    async def say(self, first: dict[str, Any]) -> Caller:
        """A websocket, and the first thing that is said on it."""
        caller = await self.http.ws_connect(f"{self.url}/ws?resume")
        await caller.send_json(first)
        return caller

    async def start(self) -> tuple[Caller, ScriptedSession, str]:
        """A call that can be resumed."""
        caller = await self.say({"type": "start", "version": 1, "resume": True})
        session = await self.sessions.get()
        return caller, session, (await caller.receive_json())["resume"]["token"]

    async def resume(self, token: str, position: int = 0) -> tuple[Caller, dict[str, Any]]:
        """Come back."""
        caller = await self.say(
            {"type": "resume", "version": 1, "token": token, "position": position}
        )
        return caller, await caller.receive_json()


@asynccontextmanager
async def process(
    store: CheckpointStore | None = None, *, limits: Limits | None = None
) -> AsyncGenerator[Process]:
    """A server with scripted sessions; those that are resumed have the history they should."""
    made: asyncio.Queue[ScriptedSession] = asyncio.Queue()
    here: Process

    def make(line: Line) -> ScriptedSession:
        session = ScriptedSession(line, made.qsize() + 1)
        made.put_nowait(session)
        return session

    def again(line: Line, checkpoint: Checkpoint) -> ScriptedSession:
        if here.fails:
            raise Rejected("the key has no quota", op="example")
        here.resumed.append(checkpoint)
        session = make(line)
        session.id, session.history = checkpoint.session_id, checkpoint.history
        return session

    app = create_app(
        make,
        access=Access(host="127.0.0.1"),
        limits=limits,
        checkpoints=Checkpoints(store=store, make_session=again) if store else None,
    )
    async with aiohttp.ClientSession() as http, listening(app, host="127.0.0.1", port=0) as url:
        here = Process(url, http, app[CARRIER], made)
        yield here


def on_loop(scenario: Scenario) -> Callable[[], None]:
    """Run a test to its end, after which no task of a call is left."""

    @scripted_session.on_loop
    @wraps(scenario)
    async def bounded() -> None:
        await scenario()
        left = [task for task in asyncio.all_tasks() if task.get_name().startswith("websocket")]
        assert not left

    return bounded


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


def speaks(session: ScriptedSession, *, is_speaking: bool) -> None:
    """The agent begins to speak, or is silent."""
    states = (SessionState.IDLE, SessionState.RESPONDING)
    before, after = states if is_speaking else reversed(states)
    session.tell(StateChanged(previous=before, state=after))


async def status(process: Process, path: str) -> int:
    async with process.http.get(f"{process.url}{path}") as answer:
        return answer.status


@on_loop
async def test_a_server_that_drains_takes_no_calls() -> None:
    """New callers are refused: programs by HTTP, pages on the websocket; health stays up."""
    async with process() as one:
        assert (await status(one, "/healthz"), await status(one, "/readyz")) == (200, 200)
        caller, session, _ = await one.start()
        speaks(session, is_speaking=True)
        await caller.receive_json()
        async with asyncio.TaskGroup() as group:
            group.create_task(one.carrier.drain(20))
            await asyncio.sleep(0)  # lets it begin; no time passes
            assert (await status(one, "/healthz"), await status(one, "/readyz")) == (200, 503)
            async with one.http.get(f"{one.url}/ws") as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
                assert (await answer.json())["code"] == "server_stopping"
            page = await one.http.ws_connect(f"{one.url}/ws", headers={"Origin": one.url})
            messages, code, reason = await ending(page)
            assert [message["code"] for message in messages] == ["server_stopping"]
            assert (code, reason) == (WSCloseCode.TRY_AGAIN_LATER, "server_stopping")
            assert not session.is_closed.is_set(), "it is speaking"
            speaks(session, is_speaking=False)
            messages, code, reason = await ending(caller)
            assert messages[-1]["code"] == "server_stopping"
            assert (code, reason) == (WSCloseCode.GOING_AWAY, "server_stopping")


@on_loop
async def test_a_call_moves_when_nobody_speaks() -> None:
    """The turn is finished, the session ends in silence, and another process goes on with it."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        caller, session, token = await one.start()
        session.history = SAID
        session.ends_on_close = False
        session.line.send(PlayAudio(pcm=b"\1\0" * 480))
        assert await caller.receive_bytes() == b"\1\0" * 480
        speaks(session, is_speaking=True)
        await caller.receive_json()
        draining = asyncio.create_task(one.carrier.drain(20))
        assert await status(one, "/readyz") == 503
        assert not draining.done()
        speaks(session, is_speaking=False)
        assert await session.received.get() == CallClosed(reason="moving")
        session.line.send(ClearPlayback())  # a session that ends falls silent
        session.end()
        messages, code, reason = await ending(caller)
        assert (code, reason) == (WSCloseCode.SERVICE_RESTART, "moving")
        assert messages == [], "for the caller the call goes on"
        await draining
        assert session.is_closed.is_set()

        back, answer = await two.resume(token, position=480)
        assert answer.pop("resume")["token"] != token
        assert answer == {
            "type": "resumed",
            "version": 1,
            "session_id": "scripted-1",
            "input_rate": 16000,
            "output_rate": 24000,
            "position": 480,
            "has_moved": True,
        }
        (left,) = two.resumed
        assert (left.history, left.unheard_text, left.generation) == (SAID, "", 1)
        again = await two.sessions.get()
        again.line.send(PlayAudio(pcm=b"\2\0" * 10))
        assert await back.receive_bytes() == b"\2\0" * 10
        again.line.send(ClearPlayback())
        assert await back.receive_json() == {"type": "clear", "position": 490}


@on_loop
async def test_a_call_that_speaks_too_long_moves_with_what_was_not_heard() -> None:
    """When the time is over the response is cut, and its rest goes with the checkpoint."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        caller, session, token = await one.start()
        session.ends_on_close = False
        speaks(session, is_speaking=True)
        await caller.receive_json()
        draining = asyncio.create_task(one.carrier.drain(0.01))
        assert await session.received.get() == CallClosed(reason="moving")
        session.line.send(ClearPlayback())
        session.history = SAID
        session.tell(
            AgentResponseEnded(
                response_id=ResponseId("r"),
                outcome=ResponseOutcome.CUT,
                text="It is five o'clock.",
                heard_text="It is",
                generated_ms=900,
                heard_ms=300,
            )
        )
        session.end()
        messages, code, _ = await ending(caller)
        assert (messages, code) == ([{"type": "clear", "position": 0}], 1012)
        await draining
        await two.resume(token)
        (left,) = two.resumed
        assert (left.history, left.unheard_text) == (SAID, "five o'clock.")


@on_loop
async def test_a_call_that_waits_for_its_caller_moves_at_once() -> None:
    """A call whose caller is away is saved when draining begins, and can be resumed elsewhere."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        caller, session, token = await one.start()
        speaks(session, is_speaking=True)
        await caller.receive_json()
        caller._response.connection.transport.abort()  # type: ignore[union-attr]  # it is open
        await one.carrier.drain(20)
        assert session.is_closed.is_set()
        _, answer = await two.resume(token)
        assert answer["has_moved"]


@on_loop
async def test_each_turn_leaves_a_checkpoint() -> None:
    """What was said is in the store soon after it was said, for when the process is killed."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        _, session, token = await one.start()
        session.history = SAID[:1]
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="what", is_final=True))
        while not two.resumed or two.resumed[-1].history != SAID[:1]:
            two.resumed.clear()
            _, answer = await two.resume(token)
            if answer["type"] == "resumed":
                token = answer["resume"]["token"]
        assert two.resumed[-1].session_id == session.id


@on_loop
async def test_a_process_that_was_replaced_gives_the_call_up() -> None:
    """When it saves again and finds that another one took over, its session ends."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        caller, session, token = await one.start()
        told = Transcription(utterance_id=UtteranceId("u"), text="what", is_final=True)
        session.tell(told)
        while (await two.resume(token))[1]["type"] != "resumed":
            pass
        session.tell(told)
        assert await session.received.get() == CallClosed(reason="replaced")
        messages, code, reason = await ending(caller)
        assert messages[0]["type"] == "event"
        assert (code, reason) == (WSCloseCode.OK, "replaced")


@on_loop
async def test_a_call_that_ends_leaves_no_checkpoint() -> None:
    """Nobody goes on with a call that was ended."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two:
        caller, session, token = await one.start()
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="what", is_final=True))
        await caller.send_json({"type": "stop"})
        await ending(caller)
        _, answer = await two.resume(token)
        assert answer["code"] == "resume_refused"


@on_loop
async def test_a_process_that_cannot_go_on_leaves_the_call_to_others() -> None:
    """When no session comes about, the token is still good, here and elsewhere."""
    store = InMemoryCheckpoints()
    async with process(store) as one, process(store) as two, process(store) as three:
        caller, session, token = await one.start()
        session.history = SAID
        await one.carrier.drain(20)
        await ending(caller)
        two.fails = True
        for _ in range(2):
            back, answer = await two.resume(token)
            assert answer["code"] == "session_failed"
            await ending(back)
            while two.carrier.calls:
                await asyncio.sleep(0)  # until the checkpoint was given back
        _, answer = await three.resume(token)
        assert answer["has_moved"]
        assert three.resumed[0].history == SAID


class Broken(InMemoryCheckpoints):
    """A store that cannot be reached."""

    async def save(self, checkpoint: Checkpoint, /) -> bool:
        raise Unreachable("no connection", op="checkpoints")

    async def claim(self, token_hash: str, /, *, now: float) -> Checkpoint | None:
        raise Unreachable("no connection", op="checkpoints")


@on_loop
async def test_a_store_that_fails_disturbs_no_call() -> None:
    """Calls go on and are resumed in their own process; others are told why they cannot be."""
    async with process(Broken()) as one:
        caller, session, token = await one.start()
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="what", is_final=True))
        await caller.receive_json()
        _, answer = await one.resume(token)
        assert answer["type"] == "resumed"
        _, answer = await one.resume("from elsewhere")
        assert answer["message"] == "the store of checkpoints does not answer; try again"


@on_loop
async def test_a_call_of_another_version_is_left_to_a_process_that_knows_it() -> None:
    """A process that cannot read the checkpoint says so, and the caller finds one that can."""
    store = InMemoryCheckpoints()
    async with process(store) as old, process(store) as new:
        with pytest.MonkeyPatch.context() as newer:
            newer.setattr("beluga_voice.checkpoints.checkpoint.VERSION", 2)
            caller, session, token = await new.start()
            session.history = SAID
            await new.carrier.drain(20)
            await ending(caller)
        _, answer = await old.resume(token)
        assert answer["message"] == "another version of this server has the call; try again"
        assert answer["code"] == "session_failed"
        async with process(store) as other:
            with pytest.MonkeyPatch.context() as newer:
                newer.setattr("beluga_voice.checkpoints.checkpoint.VERSION", 2)
                _, answer = await other.resume(token)
        assert answer["has_moved"]
        assert other.resumed[0].history == SAID


@on_loop
async def test_a_provider_that_is_full_is_no_failure_of_the_call() -> None:
    """When all links to a service are in use, the caller is told to come back later."""

    async def silent(link: ScriptedLink[S2sCommand, S2sEvent]) -> None:
        """Say nothing."""

    provider = Limited(ScriptedProvider(silent), limit=1)

    def make(line: Line) -> VoiceSession:
        return VoiceSession(s2s=provider, line=line, vad=ScriptedVad())

    app = create_app(make, access=Access(host="127.0.0.1"))
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{url}/ws") as first,
        http.ws_connect(f"{url}/ws") as second,
    ):
        await first.send_json({"type": "start", "version": 1})
        assert (await first.receive_json())["type"] == "started"
        await second.send_json({"type": "start", "version": 1})
        messages, code, reason = await ending(second)
        assert messages[-1]["code"] == "provider_full", messages
        assert (code, reason) == (WSCloseCode.TRY_AGAIN_LATER, "provider_full")
