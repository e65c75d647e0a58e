"""The page, in a real browser, over every speech-to-speech service, two at a time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import test_page
from playwright.async_api import Browser, Page, async_playwright

from beluga_voice.app import VoiceSession
from beluga_voice.audio.wav import read_wav, write_wav
from beluga_voice.interfaces import Line
from beluga_voice.server.access import Access
from beluga_voice.server.app import Labels, create_app, listening
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.testing.emulators.catalogue import EMULATORS, Plan, emulated
from beluga_voice.testing.emulators.speech import Asked, Deed, Pace, Speaks

QUESTIONS = Path(__file__).parents[2] / "examples" / "audio" / "questions.wav"
SECONDS = 60.0
AT_ONCE = 2
"""Pages, sessions and services share one loop, and sound does not wait."""
QUESTION_SECONDS = 2.0
"""So long is the first question of the recording, with the silence before it."""
SILENCE_SECONDS = 6
"""After it nobody speaks, so that no late answer is cut; then the question comes again."""
pytestmark = test_page.pytestmark  # the same machines can run these


def answer(asked: Asked) -> Deed:
    """Say so little that it is over before the question comes again."""
    return Speaks("I heard you")


@asynccontextmanager
async def page_of(
    name: str, browser: Browser, environment: pytest.MonkeyPatch
) -> AsyncGenerator[Page]:
    """A page that talks to that service, emulated on this machine."""
    async with AsyncExitStack() as stack:
        plan = Plan(brain=answer, pace=Pace(thinking_ms=100))
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


async def talk(
    name: str, browser: Browser, environment: pytest.MonkeyPatch
) -> tuple[str, str, list[str]]:
    """Start a call, and wait until an answer was heard; gives what the page shows."""
    async with page_of(name, browser, environment) as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.click("#talk")
        await page.locator(".bubble.agent", has_text="I heard you").first.wait_for()
        await page.wait_for_function("() => beluga.measure().isStarted")
        shown = await page.locator(".bubble.agent").first.inner_text()
        footnote = await page.locator("#footnote").inner_text()
        await page.click("#talk")
        return shown, footnote, complaints


def test_the_page_talks_to_every_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a microphone that plays a recording, each service is heard to answer."""
    recording = read_wav(QUESTIONS)
    rate = recording.format.rate
    question = recording.to_pcm16(rate)[: 2 * int(QUESTION_SECONDS * rate)]
    microphone = tmp_path / "microphone.wav"
    write_wav(microphone, question + bytes(2 * SILENCE_SECONDS * rate), rate)

    async def scenario() -> dict[str, tuple[str, str, list[str]] | BaseException]:
        arguments = [
            "--no-sandbox",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
        turn = asyncio.Semaphore(AT_ONCE)

        async def talk_in_turn(name: str, browser: Browser) -> tuple[str, str, list[str]]:
            async with turn, asyncio.timeout(SECONDS):
                return await talk(name, browser, monkeypatch)

        async with async_playwright() as play:
            browser = await play.chromium.launch(executable_path=test_page.CHROMIUM, args=arguments)
            names = sorted(EMULATORS["s2s"])
            told = await asyncio.gather(
                *(talk_in_turn(name, browser) for name in names), return_exceptions=True
            )
            await browser.close()
            return dict(zip(names, told, strict=True))

    for name, told in asyncio.run(scenario()).items():
        assert isinstance(told, tuple), f"{name}: {told!r}"
        shown, footnote, complaints = told
        assert "I heard you" in shown, name
        assert footnote.startswith(f"{name} hears"), name
        assert complaints == [], name
