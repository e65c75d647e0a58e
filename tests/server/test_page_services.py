"""The page, in a real browser, over every speech-to-speech service."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import test_page
from playwright.async_api import Browser, Page, async_playwright
from test_page import measured
from test_page_turns import PREPARE

from beluga_voice.app import VoiceSession
from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.interfaces import Line
from beluga_voice.server.access import Access
from beluga_voice.server.app import Labels, create_app, listening
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.testing.emulators.catalogue import EMULATORS, Plan, emulated
from beluga_voice.testing.emulators.speech import Asked, Deed, Pace, Speaks

QUESTIONS = Path(__file__).parents[2] / "examples" / "audio" / "questions.wav"
SECONDS = 90.0
SPEECH_SECONDS = (0.5, 1.6)
"""Where in the recording somebody speaks without a pause."""
SHORT, LONG, LAST = "I heard you", " ".join(["we do as he is so"] * 12), "very well"
"""What the agent says: the second takes 14 seconds, if nobody stops it."""
pytestmark = test_page.pytestmark  # the same machines can run these


class Mind:
    """Answers what it is told to, whatever is asked."""

    def __init__(self) -> None:
        self.text = SHORT

    def answer(self, asked: Asked) -> Deed:
        """Say it."""
        return Speaks(self.text)


@asynccontextmanager
async def page_of(
    name: str, mind: Mind, browser: Browser, environment: pytest.MonkeyPatch
) -> AsyncGenerator[Page]:
    """A page that talks to that service, emulated on this machine."""
    async with AsyncExitStack() as stack:
        plan = Plan(brain=mind.answer, pace=Pace(thinking_ms=100, word_ms=150))
        service = await stack.enter_async_context(emulated(name, plan))
        for variable, value in service.environment.items():
            environment.setenv(variable, value)

        def make(line: Line) -> VoiceSession:
            handle = s2s(name, model=service.model or None, endpoint=service.endpoint)
            return VoiceSession(s2s=handle, line=line)

        app = create_app(make, access=Access(host="127.0.0.1"), labels=Labels(s2s=name))
        url = await stack.enter_async_context(listening(app, host="127.0.0.1", port=0))
        page = await browser.new_page()
        page.set_default_timeout(SECONDS * 500)
        await page.goto(url)
        yield page
        await page.close()


class Speaker:
    """Somebody in front of the page, with a finger on the mute key."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def says_something(self) -> None:
        """Speak for as long as a short question takes."""
        sent = (await measured(self._page, "true"))["sentFrames"]
        await self._page.keyboard.press("m")
        await measured(self._page, f"m.sentFrames > {sent + 60}")
        await self._page.keyboard.press("m")

    async def hears(self, words: str) -> None:
        """Those words appear, and the agent has sounded."""
        await self._page.locator(".bubble.agent", has_text=words).first.wait_for()

    async def hears_more(self, milliseconds: int) -> None:
        """The agent sounds for so long."""
        played = (await measured(self._page, "true"))["playedMs"]
        await measured(self._page, f"m.playedMs > {played + milliseconds}")


async def talk(
    name: str, browser: Browser, environment: pytest.MonkeyPatch
) -> tuple[list[str], list[str], str, list[str]]:
    """Three turns, of which the second is interrupted; what was heard, and what the page shows."""
    mind = Mind()
    async with page_of(name, mind, browser, environment) as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        person = Speaker(page)
        await page.evaluate(PREPARE)
        await page.click("#talk")
        await measured(page, "m.isStarted && m.sentFrames > 5")
        await page.keyboard.press("m")
        await page.locator("#mute[aria-pressed=true]").wait_for()
        await person.says_something()
        await person.hears(SHORT)
        await page.locator("#state[data-state=idle]").wait_for()
        mind.text = LONG
        await person.says_something()
        await person.hears(LONG[:20])
        await person.hears_more(1500)
        mind.text = LAST
        await person.says_something()
        await person.hears(LAST)
        bubbles = page.locator(".bubble.agent")
        shown = await bubbles.all_text_contents()
        unheard = await page.locator(".bubble.agent .unheard").all_text_contents()
        footnote = await page.locator("#footnote").inner_text()
        await page.click("#talk")
        return shown, unheard, footnote, complaints


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of somebody who speaks without a pause."""
    recording = read_wav(QUESTIONS)
    rate = recording.format.rate
    begins, ends = (int(at * rate) * 2 for at in SPEECH_SECONDS)
    path = tmp_path_factory.mktemp("speech") / "microphone.wav"
    write_wav(path, recording.to_pcm16(rate)[begins:ends], rate)
    return path


@pytest.mark.parametrize("name", sorted(EMULATORS["s2s"]))
def test_the_page_talks_to_every_service(
    name: str, microphone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person holds three turns, and interrupts the second answer."""

    async def scenario() -> tuple[list[str], list[str], str, list[str]]:
        arguments = [
            "--no-sandbox",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
        async with asyncio.timeout(SECONDS), async_playwright() as play:
            browser = await play.chromium.launch(executable_path=test_page.CHROMIUM, args=arguments)
            told = await talk(name, browser, monkeypatch)
            await browser.close()
            return told

    shown, unheard, footnote, complaints = asyncio.run(scenario())
    assert (SHORT in shown[0], LAST in shown[-1]) == (True, True)
    story = next(text for text in shown if LONG[:20] in text)
    for part in unheard:
        story = story.replace(part, "")
    assert len(story) < len(LONG)
    assert footnote.startswith(f"{name} hears")
    assert complaints == []
