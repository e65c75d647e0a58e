"""The page shows who has the floor, what was heard, and where the time went, as it happens."""

import asyncio
import re
import statistics
import tempfile
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import test_page
from playwright.async_api import Page
from scripted_session import on_loop, serving
from test_page import RATE, Wire, browsing, measured, started
from test_processes import process

from beluga_voice.app import VoiceSession
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    AgentResponseStarted,
    AgentResponseText,
    BargedIn,
    DeadAir,
    Reconnected,
    Reconnecting,
    ResponseId,
    ResponseOutcome,
    Rung,
    ServiceSwitched,
    SessionState,
    StateChanged,
    TurnMeasured,
    UserIdle,
)
from beluga_voice.interfaces import AgentTurn, Line
from beluga_voice.server.access import Access
from beluga_voice.server.app import create_app, listening
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts

pytestmark = test_page.pytestmark  # the same machines can run these
SECONDS = 90
PARTS = ["endpointing", "transcription", "thinking", "synthesis", "delivery", "playout"]
STORY = " ".join(f"word{number}" for number in range(150))

PREPARE = """() => {
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async () => {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await real({ audio: plain });
    stream.getAudioTracks()[0].enabled = false;  // until somebody presses M
    return stream;
  };
  window.grown = [];
  const look = () => {
    const part = document.querySelector("#turns .growing .numbers")?.textContent;
    if (part && part !== grown.at(-1)) grown.push(part);
  };
  new MutationObserver(look).observe(document.getElementById("turns"),
    { subtree: true, childList: true, attributes: true, characterData: true });
}"""


def record_noise(path: Path) -> Path:
    """A recording that is loud all the time: the mute key decides when the person speaks."""
    noise = np.random.default_rng(5).normal(0, 6000, RATE).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(noise.tobytes())
    return path


class Thinker:
    """Tells a long story first, then says little; thinks until it is told that it has."""

    def __init__(self) -> None:
        self.has_thought = asyncio.Event()
        self.questions: list[str] = []

    async def answer(self, turn: AgentTurn) -> str:
        """What is asked for."""
        self.questions.append(turn.text)
        if len(self.questions) > 1:
            return "very well"
        await self.has_thought.wait()
        return STORY


class Recogniser:
    """Understands what it is told to, however often it is asked."""

    def __init__(self) -> None:
        self.words = ""

    def finals(self, _number: int, _heard: str) -> list[tuple[float, str]]:
        """One, after 120 ms."""
        return [(120, self.words)]


class Person:
    """Somebody in front of the page, with a finger on the mute key."""

    def __init__(self, page: Page, recogniser: Recogniser) -> None:
        self._page = page
        self._recogniser = recogniser

    async def speaks(self, words: str, *, until: str) -> None:
        """Make sound until the page shows something, then be quiet; it is understood as that."""
        self._recogniser.words = words
        await self._page.keyboard.press("m")
        await self._page.locator(until).wait_for()
        await self._page.keyboard.press("m")


@asynccontextmanager
async def conversing(
    microphone: Path, thinker: Thinker, recogniser: Recogniser
) -> AsyncGenerator[tuple[Page, list[str]]]:
    """A page in a call with a real session, its microphone muted."""

    def make(line: Line) -> VoiceSession:
        return VoiceSession(
            stt=ScriptedStt(finals=recogniser.finals),
            agent=thinker.answer,
            tts=ScriptedTts(delay_ms=120),
            vad="energy",
            line=line,
        )

    app = create_app(make, access=Access(host="127.0.0.1"))
    async with (
        listening(app, host="127.0.0.1", port=0) as url,
        browsing(url, microphone) as (page, complaints),
    ):
        page.set_default_timeout(20_000)
        await page.evaluate(PREPARE)
        await page.click("#talk")
        await measured(page, "m.isStarted && m.sentFrames > 5")
        await page.keyboard.press("m")
        await page.locator("#mute[aria-pressed=true]").wait_for()
        yield page, complaints


def test_turns_as_they_are_taken(tmp_path: Path) -> None:
    """A noise is a pause, words are an interruption, and each of three turns is taken apart."""

    async def scenario() -> None:
        thinker, recogniser = Thinker(), Recogniser()
        noise = record_noise(tmp_path / "microphone.wav")
        async with (
            asyncio.timeout(SECONDS),
            conversing(noise, thinker, recogniser) as (page, complaints),
        ):
            person = Person(page, recogniser)
            await person.speaks("tell me a story", until="#state[data-state=speaking]")
            await page.locator("#turns .growing", has_text="thinking…").wait_for()
            thinker.has_thought.set()
            await page.locator(".turn-head", has_text="Turn 1").wait_for()
            assert await page.evaluate("grown") == [f"{part}…" for part in PARTS[:4]]
            await measured(page, "m.playedMs > 500")

            await person.speaks("", until=".bubble.agent.paused")
            await page.get_by_text("That was no interruption: the agent went on after").wait_for()
            paused = await measured(page, "m.silences.join() === 'pause'")
            assert await page.locator(".bubble.agent").all_text_contents() == [STORY]
            assert await page.locator(".bubble.agent.paused, .bubble .unheard").count() == 0
            assert await page.locator("#m-barges").inner_text() == "0"
            await measured(page, f"m.playedMs > {paused['playedMs'] + 300}")

            await person.speaks("stop please", until=".bubble.agent.paused")
            await page.locator(".bubble .unheard").wait_for()
            await measured(page, "m.silences.join() === 'pause,cut'")
            unheard = await page.locator(".bubble .unheard").inner_text()
            shown = await page.locator(".bubble.cut").inner_text()
            heard, label = shown.split(unheard)
            assert heard + unheard == STORY
            assert heard.startswith("word0 word1")
            assert re.search(r"cut after \d+\.\d of 30\.0 s", label)
            assert await page.get_by_text("You took the floor; the agent fell silent").count() == 1
            assert await page.locator("#m-barges").inner_text() == "1"

            await page.locator(".turn-head", has_text="Turn 2").wait_for()
            await page.locator("#state[data-state=idle]").wait_for()
            await person.speaks("and now", until="#state[data-state=speaking]")
            await page.locator(".turn-head", has_text="Turn 3").wait_for()
            assert thinker.questions == ["tell me a story", "stop please", "and now"]
            await check_waterfall(page)
            assert complaints == []

    asyncio.run(scenario())


async def check_waterfall(page: Page) -> None:
    """Newest first below the coming turn; the parts add up, and the median is theirs."""
    titles = await page.locator(".turn-head > :first-child").all_inner_texts()
    assert titles == ["Next", "Turn 3", "Turn 2", "Turn 1"]
    totals = [int(text.removesuffix(" ms")) for text in await texts(page, ".turn-head strong")]
    measured_parts: list[list[str]] = []
    for total, bar in zip(totals, await page.locator(".stack[role=img]").all(), strict=True):
        label = await bar.get_attribute("aria-label") or ""
        said, parts = label.split(" milliseconds: ")
        names, numbers = zip(*(part.split(" ") for part in parts.split(", ")), strict=True)
        assert int(said) == sum(map(int, numbers)) == total
        measured_parts.append(list(names))
    # What was said over the agent was understood before that turn was over.
    assert measured_parts == [PARTS, [part for part in PARTS if part != "transcription"], PARTS]
    assert await texts(page, ".unmeasured") == ["not measured: transcription (within thinking)"]
    median = statistics.median(totals)
    assert await page.locator("#turns-median").inner_text() == f"median {median} ms of 3 turns"
    assert await page.locator("#m-latency").inner_text() == f"{median} ms"


async def texts(page: Page, selector: str) -> list[str]:
    """Those of the turns that were measured."""
    return await page.locator(f"#turns li:not(:first-child) {selector}").all_inner_texts()


@on_loop
async def test_parts_that_were_not_measured_are_named() -> None:
    """A part that a service does not show is named, with the part that its time is within."""
    async with serving() as server, browsing(server.url, None) as (page, _):
        session = await started(page, server)
        session.tell(
            TurnMeasured(
                response_id=ResponseId("r"),
                total_ms=500,
                endpointing_ms=None,
                transcription_ms=None,
                thinking_ms=480,
                synthesis_ms=None,
                delivery_ms=20,
            )
        )
        line = page.locator("#turns .unmeasured")
        assert await line.inner_text() == (
            "not measured: endpointing and transcription (within thinking); "
            "synthesis (within delivery); playout"
        )
        assert await page.locator(".stack i").count() == 2
        assert await texts(page, ".numbers span") == ["480", "20"]


@on_loop
async def test_what_is_done_for_a_person_who_waits_is_said_quietly() -> None:
    """Rungs, switches, idling and lost services are notes; those of one wait take one line."""
    async with (
        serving() as server,
        browsing(server.url, None, width=390, height=844) as (page, complaints),
    ):
        session = await started(page, server)
        await page.get_by_role("button", name="Dismiss").click()  # there is no microphone
        session.tell(DeadAir(rung=Rung.NUDGE, waited_ms=3000))
        session.tell(ServiceSwitched(previous="a", following="b", reason="lost", is_mid_call=True))
        session.tell(DeadAir(rung=Rung.SOUND, waited_ms=6000))
        state = StateChanged(previous=SessionState.IDLE, state=SessionState.RECONNECTING)
        session.tell(state)
        session.tell(Reconnecting(attempt=1, delay_ms=0))
        session.tell(Reconnecting(attempt=2, delay_ms=500))
        session.tell(Reconnected(attempt=2))
        session.tell(UserIdle(prompts=0, idle_ms=10_000))
        session.tell(UserIdle(prompts=1, idle_ms=20_000))
        await page.get_by_text("Nobody has said anything for 20 s.").wait_for()
        assert await page.locator(".note").all_inner_texts() == [
            "Still waiting (6 s without an answer).",
            "a failed; b goes on.",
            "The service was lost, and is back.",
            "Nobody has said anything for 20 s.",
        ]
        assert await page.locator(".toast").count() == 0
        assert await page.locator("#state").inner_text() == "Reconnecting"
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert complaints == []


@on_loop
async def test_a_pause_before_a_cut_is_one_silence() -> None:
    """A response that paused, went on, and was cut has one bubble with one unheard part."""
    response = ResponseId("r")
    async with serving() as server, browsing(server.url, None) as (page, _):
        session = await started(page, server)
        session.tell(AgentResponseStarted(response_id=response))
        session.tell(AgentResponseText(response_id=response, delta="one two "))
        session.tell(BargedIn(response_id=response, decision_ms=300))
        session.tell(AgentResponseText(response_id=response, delta="three four"))
        session.tell(AgentResponseResumed(response_id=response, paused_ms=812))
        session.tell(BargedIn(response_id=response, decision_ms=310))
        session.tell(
            AgentResponseEnded(
                response_id=response,
                outcome=ResponseOutcome.CUT,
                text="one two three four",
                heard_text="one two three",
                generated_ms=800,
                heard_ms=600,
            )
        )
        await page.locator(".bubble .unheard").wait_for()
        assert await page.locator(".bubble.agent").count() == 1
        assert await page.locator(".bubble .unheard").inner_text() == " four"
        assert (await measured(page, "true"))["silences"] == ["pause", "cut"]
        assert await page.locator(".note").all_inner_texts() == [
            "That was no interruption: the agent went on after 812 ms.",
            "You took the floor; the agent fell silent 310 ms after your first sound.",
        ]


@on_loop
async def test_a_call_moves_with_the_page() -> None:
    """When its server is replaced, the page says so in one line, and the talk goes on."""
    wire = Wire()
    with tempfile.TemporaryDirectory() as directory:
        database = str(Path(directory) / "calls.sqlite")
        async with (
            process(database) as (old, old_url),
            process(database) as (_, new_url),
            wire.to(old_url) as url,
            browsing(url, None) as (page, _),
        ):
            await page.fill("#entry", "hello")
            await page.press("#entry", "Enter")
            await page.get_by_text("hello question-1 one", exact=True).wait_for()
            await page.locator("#state[data-state=idle]").wait_for()
            wire.far = new_url
            old.terminate()
            await page.locator("#transcript .note").wait_for()
            await page.get_by_text("Back in the call, on another server.").first.wait_for()
            assert await page.locator("#transcript .note").count() == 1
            assert await page.locator("#spoken p").all_text_contents() == [
                "You: hello",
                "Agent: hello question-1 one",
                "Another server takes the call over…",
                "Back in the call, on another server.",
            ]
            await page.fill("#entry", "again")
            await page.press("#entry", "Enter")
            await page.get_by_text("again question-2 one two three").wait_for()
