"""Two server processes that share a store: when one is killed or stopped, the other goes on."""

import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from fakeredis import TcpFakeServer
from redis import Redis
from resumable_program import WORDS

from beluga_voice.testing.speech import words_in

PROGRAM = Path(__file__).parent / "resumable_program.py"
CALLS = 12
SECONDS = 40


@dataclass(frozen=True)
class Store:
    """What both processes know: where it is, and what is in it."""

    place: str
    forms: Callable[[], list[bytes]]

    async def holds(self, words: str) -> int:
        """How many checkpoints hold these words."""
        forms = await asyncio.to_thread(self.forms)
        return sum(words in form.decode() for form in forms)


@contextmanager
def file(folder: Path) -> Generator[Store]:
    """A file of SQLite."""
    database = folder / "checkpoints.db"

    def forms() -> list[bytes]:
        with closing(sqlite3.connect(database)) as connection:
            rows = connection.execute("SELECT form FROM checkpoints").fetchall()
        return [bytes(form) for (form,) in rows]

    yield Store(str(database), forms)


@contextmanager
def redis(folder: Path) -> Generator[Store]:
    """The Redis that is installed, or else a server that speaks like it."""
    with real_redis(folder) if shutil.which("redis-server") else pretended_redis() as place:
        client: Any = Redis.from_url(place)  # pyright: ignore[reportUnknownMemberType]  # as it is

        def forms() -> list[bytes]:
            found = (client.hget(key, "form") for key in client.scan_iter("*:session:*"))
            return [form for form in found if form is not None]

        with closing(client):
            yield Store(place, forms)


@contextmanager
def real_redis(folder: Path) -> Generator[str]:
    """The program itself, on a socket in that folder."""
    socket = folder / "redis.sock"
    running = subprocess.Popen(
        ["redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder],
        stdout=subprocess.PIPE,
    )
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if b"eady to accept" in line:
                break
        try:
            yield f"unix://{socket}"
        finally:
            running.terminate()


@contextmanager
def pretended_redis() -> Generator[str]:
    """In a thread of this process, at a free port."""
    with TcpFakeServer(("127.0.0.1", 0)) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield f"redis://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            serving.join()


@asynccontextmanager
async def process(place: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server of its own with checkpoints at that place, and its URL; nothing of it is left."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), place, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    try:
        yield running, (await running.stdout.readline()).decode().strip()
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


type Shared = Callable[[Path], AbstractContextManager[Store]]


class Person:
    """A caller who counts what is heard, and comes back."""

    def __init__(self, http: aiohttp.ClientSession, name: str) -> None:
        self._http = http
        self.name = name
        self.position = 0
        self.event = 0
        self.token = ""
        self.sound = b""
        self.events: list[dict[str, Any]] = []
        self.close_code: int | None = None

    async def call(self, url: str) -> dict[str, Any]:
        """Start, or come back; the answer."""
        self._socket = await self._http.ws_connect(f"{url}/ws?resume")
        if self.token:
            first = {"type": "resume", "token": self.token, "position": self.position}
        else:
            first = {"type": "start", "resume": True}
        await self._socket.send_json({**first, "version": 1, "event": self.event})
        answer: dict[str, Any] = await self._socket.receive_json()
        self.token = answer["resume"]["token"]
        self.position = answer.get("position", 0)
        if answer.get("has_moved"):
            self.event = 0
        await self.say_what_was_heard()
        return answer

    async def say_what_was_heard(self) -> None:
        heard = {"type": "heard", "position": self.position, "event": self.event}
        await self._socket.send_json(heard)

    async def ask(self, text: str) -> None:
        self.sound = b""
        await self._socket.send_json({"type": "text", "text": text})

    async def hear(self) -> bool:
        """The next message; false when the connection is over."""
        message = await self._socket.receive()
        match message.type:
            case WSMsgType.BINARY:
                self.sound += message.data
                self.position += len(message.data) // 2
            case WSMsgType.TEXT:
                form = json.loads(message.data)
                if form["type"] == "event":
                    self.event = form["event"]["n"] + 1
                    self.events.append(form["event"])
                elif form["type"] == "clear":
                    self.position = form["position"]
            case _:
                self.close_code = self._socket.close_code
                return False
        return True

    async def hear_words(self, count: int) -> None:
        while len(words_in(self.sound)) < count:
            assert await self.hear(), f"{self.name} lost the connection"

    async def hear_the_end(self) -> None:
        while not self.events or self.events[-1]["type"] != "agent_response_ended":
            assert await self.hear(), f"{self.name} lost the connection"
        self.events.clear()

    async def hear_the_connection_end(self) -> None:
        while await self.hear():
            pass

    async def hang_up(self) -> None:
        await self._socket.send_json({"type": "stop"})
        await self.hear_the_connection_end()


async def all_of(people: list[Person], *steps: str) -> None:
    """Each person does these steps, all of them at once."""

    async def one(person: Person) -> None:
        for step in steps:
            await getattr(person, step)()

    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(one(person))


async def in_second_answer(http: aiohttp.ClientSession, url: str, store: Store) -> list[Person]:
    """People who hear the second word of a long answer, and of whose question the store knows."""
    people = [Person(http, f"p{number}") for number in range(CALLS)]
    for person in people:
        assert "has_moved" not in await person.call(url)
        await person.ask(f"{person.name}-first")
    await all_of(people, "hear_the_end")
    for person in people:
        await person.ask(f"{person.name}-second")
    for person in people:
        await person.hear_words(2)
    while await store.holds("-second") < CALLS:
        pass
    return people


@pytest.mark.parametrize("shared", [file, redis])
def test_calls_of_a_killed_process_go_on_in_another(tmp_path: Path, shared: Shared) -> None:
    """After SIGKILL in mid-answer, each question is answered by the other process, in its place."""

    async def scenario(store: Store) -> None:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession() as http,
            process(store.place) as (doomed, url),
            process(store.place) as (_, other_url),
        ):
            people = await in_second_answer(http, url, store)
            doomed.send_signal(signal.SIGKILL)
            await all_of(people, "hear_the_connection_end")
            for person in people:
                before = person.token
                person.sound = b""
                answer = await person.call(other_url)
                assert answer["has_moved"]
                assert answer["resume"]["token"] != before
            for person in people:
                await person.hear_words(2 + len(WORDS))
                assert words_in(person.sound) == [f"{person.name}-second", "question-2", *WORDS]
            for person in people:
                await person.ask(f"{person.name}-third")
                await person.hear_words(2)
                assert words_in(person.sound)[:2] == [f"{person.name}-third", "question-3"]
            await all_of(people, "hang_up")
            assert await store.holds("second") == 0

    with shared(tmp_path) as store:
        asyncio.run(scenario(store))


@pytest.mark.parametrize("second_signal", [False, True])
def test_a_process_that_is_terminated_hands_its_calls_over(
    tmp_path: Path, second_signal: bool
) -> None:
    """SIGTERM lets each answer end, then calls move; a second SIGTERM ends the process at once."""

    async def scenario(store: Store) -> None:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession() as http,
            process(store.place) as (old, url),
            process(store.place) as (_, other_url),
        ):
            people = await in_second_answer(http, url, store)
            old.terminate()
            while await ready(http, url):
                pass
            if second_signal:
                old.terminate()
                assert await old.wait() == -signal.SIGTERM
            await all_of(people, "hear_the_connection_end")
            if not second_signal:
                assert await old.wait() == 0
                for person in people:
                    assert person.close_code == 1012
                    spoken = [f"{person.name}-second", "question-2", *WORDS]
                    assert words_in(person.sound) == spoken, "nothing of it is lost"
            for person in people:
                person.sound = b""
                assert (await person.call(other_url))["has_moved"]
            if not second_signal:
                for person in people:
                    await person.ask(f"{person.name}-third")
                    await person.hear_words(2)
                    assert words_in(person.sound)[:2] == [f"{person.name}-third", "question-3"]
            await all_of(people, "hang_up")

    with file(tmp_path) as store:
        asyncio.run(scenario(store))


async def ready(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/readyz") as answer:
        return answer.status == 200
