"""Two server processes that share a file: when one is killed or stopped, the other goes on."""

import asyncio
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from resumable_program import WORDS

from beluga_voice.testing.speech import words_in

PROGRAM = Path(__file__).parent / "resumable_program.py"
CALLS = 12
SECONDS = 40


@asynccontextmanager
async def process(database: Path) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A server of its own, and its URL; nothing of it is left behind."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(database), stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    try:
        yield running, (await running.stdout.readline()).decode().strip()
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


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


def saved(database: Path, words: str) -> int:
    """How many checkpoints hold these words."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT form FROM checkpoints").fetchall()
    return sum(words in bytes(form).decode() for (form,) in rows)


async def all_of(people: list[Person], *steps: str) -> None:
    """Each person does these steps, all of them at once."""

    async def one(person: Person) -> None:
        for step in steps:
            await getattr(person, step)()

    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(one(person))


async def in_second_answer(http: aiohttp.ClientSession, url: str, database: Path) -> list[Person]:
    """People who hear the second word of a long answer, and of whose question a file knows."""
    people = [Person(http, f"p{number}") for number in range(CALLS)]
    for person in people:
        assert "has_moved" not in await person.call(url)
        await person.ask(f"{person.name}-first")
    await all_of(people, "hear_the_end")
    for person in people:
        await person.ask(f"{person.name}-second")
    for person in people:
        await person.hear_words(2)
    while await asyncio.to_thread(saved, database, "-second") < CALLS:
        pass
    return people


def test_calls_of_a_killed_process_go_on_in_another(tmp_path: Path) -> None:
    """After SIGKILL in mid-answer, each question is answered by the other process, in its place."""
    database = tmp_path / "checkpoints.db"

    async def scenario() -> None:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession() as http,
            process(database) as (doomed, url),
            process(database) as (_, other_url),
        ):
            people = await in_second_answer(http, url, database)
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
            assert await asyncio.to_thread(saved, database, "second") == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("second_signal", [False, True])
def test_a_process_that_is_terminated_hands_its_calls_over(
    tmp_path: Path, second_signal: bool
) -> None:
    """SIGTERM lets each answer end, then calls move; a second SIGTERM ends the process at once."""
    database = tmp_path / "checkpoints.db"

    async def scenario() -> None:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession() as http,
            process(database) as (old, url),
            process(database) as (_, other_url),
        ):
            people = await in_second_answer(http, url, database)
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

    asyncio.run(scenario())


async def ready(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(f"{url}/readyz") as answer:
        return answer.status == 200
