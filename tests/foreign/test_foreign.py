"""Programs that nobody here wrote hold a turn with the emulated services, on real sockets."""

import asyncio
import base64
import json
import os
import ssl
import wave
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from beluga_voice.testing.emulators.gemini_live import API_KEY, GeminiLiveEmulator
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in

HERE = Path(__file__).parent
QUESTION = "how is it in Oslo"
ANSWER = "rather cold"
PACE = Pace(thinking_ms=300)
"""Frameworks order what they are told by when it comes: a service that thinks for no time at all
answers before the question's end has gone through their queues."""


@dataclass
class Guide:
    """The brain: greets, asks a tool about the weather in Oslo, and tells it in its own words."""

    asked: list[Asked] = field(default_factory=list[Asked])

    def __call__(self, asked: Asked) -> Deed:
        self.asked.append(asked)
        if asked.results:
            return Speaks(ANSWER if "minus 5" in asked.results[-1].output else "no idea")
        if "Oslo" in asked.text:
            return Calls("weather", '{"city": "Oslo"}')
        return Speaks("welcome")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A service that listens, as a program is told of it."""

    url: str
    key: str
    rate: int
    variables: dict[str, str] = field(default_factory=dict[str, str])
    complaints: Callable[[], list[str]]
    """What the service found wrong with what it was sent."""
    turns: Callable[[], int]
    """How many turns, or parts of turns, the service said were over."""


@asynccontextmanager
async def openai(brain: Guide, folder: Path) -> AsyncGenerator[Endpoint]:
    """The emulated OpenAI Realtime, over a plain socket."""
    service = OpenAIRealtimeEmulator(brain, pace=PACE)
    async with service.serving():
        yield Endpoint(
            url=service.url,
            key=KEY,
            rate=24000,
            complaints=lambda: [code for one in service.sessions for code in one.errors],
            turns=lambda: sum(
                frame["type"] == "response.done" for one in service.sessions for frame in one.sent
            ),
        )


@asynccontextmanager
async def gemini(brain: Guide, folder: Path) -> AsyncGenerator[Endpoint]:
    """The emulated Gemini Live, over TLS, which is all that Google's SDK speaks."""
    service = GeminiLiveEmulator(brain, pace=PACE)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with service.serving("127.0.0.1", 0, ssl=context) as url:
        yield Endpoint(
            url=url.replace("wss", "https"),
            key=API_KEY,
            rate=16000,
            variables={"SSL_CERT_FILE": str(folder / "authority.pem")},
            complaints=lambda: [
                one.close_reason for one in service.connections if one.close_reason
            ],
            turns=lambda: sum(
                "turnComplete" in frame.get("serverContent", {})
                for one in service.connections
                for frame in one.sent
            ),
        )


type Service = Callable[[Guide, Path], AbstractAsyncContextManager[Endpoint]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A program and a service, and what they should make of it."""

    program: str
    service: Service
    greets: bool = False
    turns: int

    def __str__(self) -> str:
        return f"{self.program}-{self.service.__name__}"


CASES = (
    Case(program="agents", service=openai, turns=2),
    Case(program="livekit", service=openai, turns=2),
    # The model that LiveKit takes by default waits for its tools: there is one turn, not two.
    Case(program="livekit", service=gemini, turns=1),
    Case(program="pipecat", service=openai, greets=True, turns=3),
    Case(program="pipecat", service=gemini, greets=True, turns=2),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_foreign_program_holds_a_spoken_turn_with_a_tool(
    case: Case, interpreter: Callable[[str], Path], tmp_path: Path
) -> None:
    """It is understood, runs the tool that the service calls, and gets the answer as speech."""
    brain = Guide()

    async def scene() -> tuple[dict[str, Any], Endpoint]:
        async with case.service(brain, tmp_path) as endpoint:
            write_question(tmp_path / "question.wav", endpoint.rate)
            told = await converse(interpreter(case.program), case, endpoint, tmp_path)
            return told, endpoint

    told, endpoint = asyncio.run(scene())
    assert endpoint.complaints() == []
    assert told["transcript"] == QUESTION
    assert told["tool"] == {"asked": ["Oslo"], "results": ["minus 5"]}
    assert told["response"] == (f"welcome {ANSWER}" if case.greets else ANSWER)
    assert words_in(base64.b64decode(told["audio"])) == told["response"].split()
    assert endpoint.turns() == case.turns
    (called,) = [one for one in brain.asked if one.text == QUESTION]
    assert [tool.name for tool in called.tools] == ["weather"]
    assert len(brain.asked) == (3 if case.greets else 2)


def write_question(path: Path, rate: int) -> None:
    """The question in test speech, and the silence that ends a turn."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm_of(speech(QUESTION, rate=rate)) + silence(700, rate=rate))


async def converse(python: Path, case: Case, endpoint: Endpoint, folder: Path) -> dict[str, Any]:
    """Run the program to its end; gives what it printed."""
    process = await asyncio.create_subprocess_exec(
        python,
        HERE / f"{case.program}_program.py",
        case.service.__name__,
        endpoint.url,
        endpoint.key,
        folder / "question.wav",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **endpoint.variables},
    )
    try:
        async with asyncio.timeout(60):
            printed, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    told: dict[str, Any] = json.loads(printed)
    return told
