"""A session whose part is played by the test.

The test tells it what to send and to say, and reads what the caller sent. It obeys the session's
contract: it ends after `CallClosed`, and its line raises `CallEnded` when the caller is gone.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Self

import aiohttp

from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.events import (
    AgentResponseAudio,
    CallClosed,
    CallEvent,
    HistoryItem,
    PlaybackReported,
    SessionEnded,
    SessionEvent,
    SessionId,
)
from beluga_voice.interfaces import Line
from beluga_voice.server.access import Access
from beluga_voice.server.app import Key, Labels, create_app, listening, run
from beluga_voice.session.happening import Happening


class ScriptedSession:
    """One call, as the test wants it."""

    def __init__(self, line: Line, number: int) -> None:
        self.id = SessionId(f"scripted-{number}")
        self.line = line
        self.received: asyncio.Queue[CallEvent] = asyncio.Queue()
        self.reported: list[PlaybackReported] = []
        """What was told of the caller's device."""
        self.history: tuple[HistoryItem, ...] = ()
        self.is_closed = asyncio.Event()
        self.ends_on_close = True
        self.may_begin: asyncio.Event | None = None
        """What its beginning waits for."""
        self._told: asyncio.Queue[Happening | None] = asyncio.Queue()
        self._sequence = 0

    async def __aenter__(self) -> Self:
        if self.may_begin is not None:
            await self.may_begin.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.is_closed.set()

    def receive(self, event: CallEvent, /) -> None:
        """Keep it for the test."""
        if isinstance(event, PlaybackReported):
            self.reported.append(event)
        else:
            self.received.put_nowait(event)
        if isinstance(event, CallClosed) and self.ends_on_close:
            self.end()

    def tell(self, event: SessionEvent) -> None:
        """Tell subscribers that something happened."""
        self._told.put_nowait(
            Happening(event=event, at=self._sequence / 10, sequence=self._sequence)
        )
        self._sequence += 1

    def end(self) -> None:
        """End in order."""
        self.tell(SessionEnded(reason="hung_up"))
        self._told.put_nowait(None)

    async def events(self, *, with_audio: bool) -> AsyncIterator[Happening]:
        """What was told, to the end."""
        while (happening := await self._told.get()) is not None:
            if with_audio or not isinstance(happening.event, AgentResponseAudio):
                yield happening


@dataclass
class Server:
    """A running server, and the sessions it made."""

    url: str
    http: aiohttp.ClientSession
    sessions: asyncio.Queue[ScriptedSession]
    own_tasks: set[asyncio.Task[object]] = field(default_factory=set[asyncio.Task[object]])
    """Tasks of the test, which may outlive the server."""
    callers: list[aiohttp.ClientWebSocketResponse] = field(
        default_factory=list[aiohttp.ClientWebSocketResponse]
    )

    async def open(
        self,
        *,
        headers: dict[str, str] | None = None,
        protocols: tuple[str, ...] = (),
        autoping: bool = True,
    ) -> aiohttp.ClientWebSocketResponse:
        """A websocket that has said nothing yet."""
        caller = await self.http.ws_connect(
            f"{self.url}/ws",
            headers=headers,
            protocols=protocols,
            autoping=autoping,
            max_msg_size=0,
        )
        self.callers.append(caller)
        return caller

    async def start(
        self, *, input_rate: int = 16000, output_rate: int = 24000, autoping: bool = True
    ) -> tuple[aiohttp.ClientWebSocketResponse, ScriptedSession]:
        """A websocket in a call, and the session at the other end."""
        caller = await self.open(autoping=autoping)
        await caller.send_json(
            {
                "type": "start",
                "version": 1,
                "input_rate": input_rate,
                "output_rate": output_rate,
            }
        )
        session = await self.sessions.get()
        answer = await caller.receive_json()
        assert answer["type"] == "started", answer
        return caller, session


@asynccontextmanager
async def serving(
    *,
    limits: Limits | None = None,
    access: Access | None = None,
    labels: Labels | None = None,
    tenant_of: Key | None = None,
    prepare: Callable[[ScriptedSession], None] = lambda _: None,
) -> AsyncGenerator[Server]:
    """A server with scripted sessions on a free port; nothing of it is left afterwards."""
    before = asyncio.all_tasks()
    sessions: asyncio.Queue[ScriptedSession] = asyncio.Queue()
    made = 0

    def make_session(line: Line) -> ScriptedSession:
        nonlocal made
        made += 1
        session = ScriptedSession(line, made)
        prepare(session)
        sessions.put_nowait(session)
        return session

    app = create_app(
        make_session,
        access=access or Access(host="127.0.0.1"),
        labels=labels,
        limits=limits,
        tenant_of=tenant_of,
    )
    async with listening(app, host="127.0.0.1", port=0) as url, aiohttp.ClientSession() as http:
        server = Server(url=url, http=http, sessions=sessions)
        yield server
        for caller in server.callers:
            await caller.close()
    left = asyncio.all_tasks() - before - server.own_tasks
    assert not left, f"tasks are left: {left}"


PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from scripted_session import ScriptedSession
from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.server.app import run, serve

class Stubborn(ScriptedSession):
    def receive(self, event):
        print("a call closes", flush=True)

def make_session(line):
    return (Stubborn if "stubborn" in sys.argv else ScriptedSession)(line, 1)

limits = Limits(close_seconds=60, resume_seconds=0.5 if "brief" in sys.argv else 30)
run(serve(make_session, port=int(sys.argv[1]), limits=limits,
          on_ready=lambda url: print(url, flush=True)))
print("stopped in order", flush=True)
"""


async def serving_program(*arguments: str, port: int = 0) -> tuple[asyncio.subprocess.Process, str]:
    """A server in a process of its own, and its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(port), *arguments, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().strip()


type Scenario = Callable[[], Coroutine[object, object, None]]


def on_loop(scenario: Scenario) -> Callable[[], None]:
    """Run an asynchronous test to its end, within 20 seconds."""

    @wraps(scenario)
    def once() -> None:
        asyncio.run(_bounded(scenario))

    return once


def on_each_loop(scenario: Scenario) -> Callable[[], None]:
    """Run an asynchronous test on the standard loop, then on the one that servers run on."""

    @wraps(scenario)
    def twice() -> None:
        asyncio.run(_bounded(scenario))
        run(_bounded(scenario))

    return twice


async def _bounded(scenario: Scenario) -> None:
    async with asyncio.timeout(20):
        await scenario()
