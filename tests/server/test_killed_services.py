"""Fifty calls over real sockets, and the process of their service is killed in mid-word."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from mortal_program import INPUT_RATES, RATE, WORDS

from beluga_voice.audio.formats import to_samples
from beluga_voice.testing.matrix.measure import BOUND_MS
from beluga_voice.testing.speech import is_loud, pcm_of, silence, speech, words_in

PROGRAM = Path(__file__).parent / "mortal_program.py"
CALLS = 50
FRAME_MS = 100
"""Long frames: what is spared is left to the processes that are tested."""
SECONDS = 100
"""More than a busy machine needs."""
ENOUGH = 4
"""When everybody has heard so many words, and nobody all of them, the service is killed."""


@asynccontextmanager
async def process(*arguments: str) -> AsyncGenerator[tuple[asyncio.subprocess.Process, str]]:
    """A process of its own, and the line it printed; nothing of it is left behind."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), *arguments, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    try:
        yield running, (await running.stdout.readline()).decode().strip()
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


class Person:
    """A caller whose microphone is open, and who plays what comes in real time."""

    def __init__(self, http: aiohttp.ClientSession, url: str, *, input_rate: int) -> None:
        self._http = http
        self._url = url
        self._rate = input_rate
        self._clock = asyncio.get_running_loop().time
        self._to_say = b""
        self._news = asyncio.Event()
        self._plays_until = 0.0
        self.silences: list[float] = []
        """Milliseconds between two stretches of sound."""
        self.sound = b""
        self.events: list[dict[str, Any]] = []

    async def call(self) -> None:
        """Be in a call."""
        self._socket = await self._http.ws_connect(f"{self._url}/ws")
        rates = {"input_rate": self._rate, "output_rate": RATE}
        await self._socket.send_json({"type": "start", "version": 1, **rates})
        assert (await self._socket.receive_json())["type"] == "started"

    def say(self, text: str) -> None:
        """Begin to say something."""
        self._to_say += pcm_of(speech(text, rate=self._rate))

    async def speak(self) -> None:
        """Give the next piece of sound, of words or of silence."""
        length = to_samples(FRAME_MS, self._rate) * 2
        pcm, self._to_say = self._to_say[:length], self._to_say[length:]
        await self._socket.send_bytes(pcm or silence(FRAME_MS, rate=self._rate))

    async def listen(self) -> None:
        """Hear and see what comes, to the end of the call."""
        async for message in self._socket:
            if message.type is WSMsgType.BINARY:
                self._play(message.data)
            elif message.type is WSMsgType.TEXT:
                form = json.loads(message.data)
                if form["type"] == "event":
                    self.events.append(form["event"])
            self._news.set()

    def _play(self, pcm: bytes) -> None:
        if not is_loud(pcm):
            return
        now = self._clock()
        if self._plays_until:
            self.silences.append(max(now - self._plays_until, 0) * 1000)
        self._plays_until = max(now, self._plays_until) + len(pcm) / 2 / RATE
        self.sound += pcm

    async def until(self, is_so: Callable[["Person"], bool]) -> None:
        """Wait until what comes makes it so."""
        while not is_so(self):
            assert not self._socket.closed, f"the call ended: {self.events[-1]}"
            self._news.clear()
            await self._news.wait()

    @property
    def heard(self) -> list[str]:
        """The words that came whole."""
        return words_in(self.sound)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """What was told of that kind."""
        return [one for one in self.events if one["type"] == kind]

    @property
    def said(self) -> list[str]:
        """What the other side understood."""
        return [one["text"] for one in self.of("transcription") if one["is_final"]]

    async def hang_up(self) -> None:
        await self._socket.send_json({"type": "stop"})


async def speaking(people: list[Person]) -> None:
    """Everybody's microphone, until cancelled: by one clock, which catches up when it is late."""
    loop = asyncio.get_running_loop()
    start, count = loop.time(), 0
    while True:
        for person in people:
            await person.speak()
        count += 1
        due = asyncio.Event()
        loop.call_at(start + count * FRAME_MS / 1000, due.set)
        await due.wait()


@asynccontextmanager
async def calling(kind: str, names: tuple[str, str]) -> AsyncGenerator[tuple[list[Person], Any]]:
    """Fifty people in a call, and the process of the first of two services."""
    async with AsyncExitStack() as stack:
        services = [await stack.enter_async_context(process("emulate", one)) for one in names]
        places = json.dumps([json.loads(line) for _, line in services])
        _, url = await stack.enter_async_context(process("serve", kind, places))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        people = [Person(http, url, input_rate=INPUT_RATES[kind]) for _ in range(CALLS)]
        for person in people:
            await person.call()
        async with asyncio.TaskGroup() as group:
            listening = [group.create_task(one.listen()) for one in people]
            microphones = group.create_task(speaking(people))
            yield people, services[0][0]
            microphones.cancel()
            await asyncio.gather(microphones, return_exceptions=True)
            for person in people:
                await person.hang_up()
            await asyncio.gather(*listening)


async def kill_in_mid_word(people: list[Person], service: asyncio.subprocess.Process) -> None:
    """Ask, and kill the service when everybody hears its answer."""
    for person in people:
        person.say("please tell me all")
    for person in people:
        await person.until(lambda one: len(one.heard) >= ENOUGH)
    assert not any(len(one.heard) == len(WORDS) for one in people), "it was too late"
    service.send_signal(signal.SIGKILL)
    assert await service.wait() == -signal.SIGKILL


def check(people: list[Person]) -> None:
    """Everybody heard everything once, and nobody was left in silence."""
    assert [one.heard for one in people] == [WORDS] * CALLS
    assert max(max(one.silences) for one in people) < BOUND_MS


def test_a_voice_is_killed_in_fifty_calls() -> None:
    """Each hears the rest by the second voice: no word is lost, and none is said twice."""

    async def scenario() -> None:
        async with (
            asyncio.timeout(SECONDS),
            calling("tts", ("tts/cartesia", "tts/elevenlabs")) as (people, service),
        ):
            await kill_in_mid_word(people, service)
            for person in people:
                await person.until(lambda one: WORDS[-1] in one.heard)
            check(people)
            assert all(one.said == ["please tell me all"] for one in people)
            assert all(len(one.of("service_switched")) == 1 for one in people)

    asyncio.run(scenario())


def test_a_service_that_hears_and_speaks_is_killed_in_fifty_calls() -> None:
    """Each is answered by the second service, which goes on where the first was heard to."""

    async def scenario() -> None:
        async with (
            asyncio.timeout(SECONDS),
            calling("s2s", ("s2s/grok", "s2s/openai_realtime")) as (people, service),
        ):
            await kill_in_mid_word(people, service)
            for person in people:
                await person.until(lambda one: bool(one.of("agent_response_ended")))
                person.say("and what comes then")
            for person in people:
                await person.until(lambda one: WORDS[-1] in one.heard)
            check(people)
            asked = ["please tell me all", "and what comes then"]
            assert all(one.said == asked for one in people)
            assert all(len(one.of("service_switched")) == 1 for one in people)

    asyncio.run(scenario())
