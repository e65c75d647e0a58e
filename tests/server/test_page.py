"""The page in a real browser, with a microphone that plays a file."""

import asyncio
import os
import shutil
import statistics
import wave
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, async_playwright
from scripted_session import ScriptedSession, Server, on_loop, serving, serving_program

from beluga_voice.backends.websocket.protocol import Limits
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    BargedIn,
    CallClosed,
    CallerAudio,
    CallerInterrupt,
    CallerText,
    ClearPlayback,
    DeadAir,
    ErrorOccurred,
    PlayAudio,
    ResponseId,
    ResponseOutcome,
    Rung,
    SessionEnded,
    SessionState,
    StateChanged,
    Transcription,
    Transfer,
    TurnMeasured,
    UtteranceId,
)
from beluga_voice.server.access import Access
from beluga_voice.server.app import Labels

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RATE = 16000
type Sound = np.ndarray[Any, np.dtype[np.int16]]
TOKEN = "a-token-of-sixteen-or-more"

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("BELUGA_REQUIRE_BROWSER"),
    reason="there is no chromium; CI has one and sets BELUGA_REQUIRE_BROWSER",
)


def spoken(seconds: float) -> Sound:
    """Noise in syllables: like speech to a meter, and like nothing else to a correlation."""
    random = np.random.default_rng(7)
    samples = int(seconds * RATE)
    noise = np.convolve(random.standard_normal(samples), np.hanning(12), "same")
    syllables = np.abs(np.sin(np.arange(samples) * 2 * np.pi * 2.3 / RATE))
    sound = noise * syllables
    made: Sound = (sound / np.max(np.abs(sound)) * 24000).astype(np.int16)
    return made


@asynccontextmanager
async def browsing(
    url: str, microphone: Path | None, *, width: int = 1280, height: int = 800
) -> AsyncGenerator[tuple[Page, list[str]]]:
    """The page as a person sees it, and what the browser complained about."""
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
    if microphone is not None:
        arguments += [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={microphone}",
        ]
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=arguments)
        context = await browser.new_context(viewport={"width": width, "height": height})
        page = await context.new_page()
        complaints: list[str] = []
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.set_default_timeout(8000)
        await page.goto(url)
        yield page, complaints
        await browser.close()


async def heard(session: ScriptedSession, seconds: float) -> Sound:
    """The next sound that the page sends, which must come in frames of 20 ms."""
    frames: list[bytes] = []
    while len(frames) < seconds * 50:
        event = await session.received.get()
        if isinstance(event, CallerAudio):
            assert len(event.pcm) == RATE // 50 * 2
            frames.append(event.pcm)
    return np.frombuffer(b"".join(frames), np.int16)


def correlation(sent: Sound, got: Sound) -> float:
    """How alike two sounds are at their best alignment, 0 to 1."""
    # The file is looped, so a circular correlation over a whole loop finds every alignment.
    a = sent.astype(float) - sent.mean()
    b = np.zeros_like(a)
    b[: len(got)] = got - got.mean()
    spectrum = np.fft.rfft(a) * np.conj(np.fft.rfft(b))
    products = np.fft.irfft(spectrum, len(a))
    best = int(np.argmax(products))
    piece = np.roll(a, -best)[: len(got)]
    return float(products[best] / np.linalg.norm(piece) / np.linalg.norm(b))


async def measured(page: Page, condition: str) -> dict[str, Any]:
    """What the page measures, once `condition` on it holds."""
    await page.wait_for_function(f"() => {{ const m = beluga.measure(); return {condition}; }}")
    result: dict[str, Any] = await page.evaluate("beluga.measure()")
    return result


async def started(page: Page, server: Server) -> ScriptedSession:
    await page.click("#talk")
    session = await server.sessions.get()
    await measured(page, "m.isStarted")
    return session


def told(session: ScriptedSession, *, is_cut: bool) -> None:
    """One turn, as a session tells it."""
    response = ResponseId("cut" if is_cut else "whole")
    words = "There are two tables by the window"
    session.tell(StateChanged(previous=SessionState.IDLE, state=SessionState.SPEAKING))
    utterance = UtteranceId(f"before {response}")
    session.tell(Transcription(utterance_id=utterance, text="are you", is_final=False))
    session.tell(Transcription(utterance_id=utterance, text="are you open", is_final=True))
    session.tell(StateChanged(previous=SessionState.SPEAKING, state=SessionState.PROCESSING))
    session.tell(AgentResponseStarted(response_id=response))
    session.tell(
        TurnMeasured(
            response_id=response,
            total_ms=600,
            endpointing_ms=299.6,
            transcription_ms=None,
            thinking_ms=200.6,
            synthesis_ms=79.6,
            delivery_ms=20.2,
        )
    )
    session.tell(StateChanged(previous=SessionState.PROCESSING, state=SessionState.RESPONDING))
    session.tell(AgentResponseText(response_id=response, delta=words))
    if is_cut:
        session.tell(BargedIn(response_id=response, decision_ms=163))
    session.tell(
        AgentResponseEnded(
            response_id=response,
            outcome=ResponseOutcome.CUT if is_cut else ResponseOutcome.HEARD,
            text=words,
            heard_text="There are two" if is_cut else words,
            generated_ms=2600,
            heard_ms=900 if is_cut else 2600,
        )
    )


def test_a_call_from_the_page(tmp_path: Path) -> None:
    """Sound goes both ways, a clear silences the page, and the page shows what happened."""
    sound = spoken(4.0)
    microphone = tmp_path / "microphone.wav"
    with wave.open(str(microphone), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.tobytes())

    @on_loop
    async def scenario() -> None:
        labels = Labels(stt="An stt", agent="An agent", tts="A tts", has_embedded_recognition=True)
        async with (
            serving(labels=labels) as server,
            browsing(server.url, microphone) as (page, complaints),
        ):
            await page.get_by_text("An agent answers").wait_for()
            await page.get_by_text("good recognition is a provider away").wait_for()
            # The browser's own echo, noise and gain processing would change the sound.
            await page.evaluate(
                """() => {
                  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                  navigator.mediaDevices.getUserMedia = ({ audio }) => {
                    window.asked = audio;
                    const plain = { channelCount: 1, echoCancellation: false,
                      noiseSuppression: false, autoGainControl: false };
                    return real({ audio: plain });
                  };
                }"""
            )
            session = await started(page, server)
            assert await page.evaluate("asked") == {
                "channelCount": 1,
                "echoCancellation": True,
                "noiseSuppression": True,
                "autoGainControl": True,
            }
            await heard(session, 0.3)  # the device's own beginning
            got = await heard(session, 1.5)
            # A busy machine makes the fake device skip now and then, so most pieces must match.
            pieces = [correlation(sound, piece) for piece in np.split(got, 5)]
            assert statistics.median(pieces) > 0.95, pieces

            tone = (np.sin(np.arange(24000) * 2 * np.pi * 440 / 24000) * 9000).astype(np.int16)
            session.line.send(PlayAudio(pcm=tone.tobytes()[: 24000 // 5 * 2]))
            playing = await measured(page, "m.playedMs >= 199 && m.queuedMs === 0")
            assert 199 <= playing["playedMs"] <= 201

            for _ in range(4):
                session.line.send(PlayAudio(pcm=tone.tobytes()))
            await measured(page, "m.peak > 0.25 && m.queuedMs > 1000")
            session.line.send(ClearPlayback())
            silent = await measured(page, "m.clears === 1 && m.queuedMs === 0 && m.peak === 0")
            assert silent["playedMs"] < 3500

            told(session, is_cut=True)
            told(session, is_cut=False)
            await page.locator(".bubble.agent").nth(1).wait_for()
            assert await page.locator(".bubble.you").all_text_contents() == ["are you open"] * 2
            assert await page.locator(".bubble .unheard").all_text_contents() == [
                " tables by the window"
            ]
            assert await page.locator("#state").inner_text() == "Speaking"
            totals = await page.locator(".turn-head strong").all_text_contents()
            assert totals == ["–", "600 ms", "600 ms"], "the next turn is above the last two"
            numbers = page.locator("#turns li").nth(1).locator(".numbers span")
            assert await numbers.all_text_contents() == ["300", "200", "80", "20"]
            assert [
                await page.locator(f"#m-{name}").inner_text()
                for name in ("turns", "barges", "latency")
            ] == ["2", "1", "600 ms"]

            await page.keyboard.press("Escape")
            while not isinstance(await session.received.get(), CallerInterrupt):
                pass
            await page.fill("#entry", "typed words")
            await page.press("#entry", "Enter")
            while (event := await session.received.get()) != CallerText(text="typed words"):
                assert isinstance(event, CallerAudio)
            session.tell(ErrorOccurred(code="timeout", message="the recogniser is slow"))
            await page.get_by_text("The recogniser is slow").wait_for()

            await page.click("#talk")
            while not isinstance(await session.received.get(), CallClosed):
                pass
            await session.is_closed.wait()
            assert await page.locator("#talk").inner_text() == "Start call"
            assert complaints == []

    scenario()


@on_loop
async def test_a_page_without_microphone() -> None:
    """Without a microphone the page says so, and a typed call works, at 360 pixels too."""
    async with (
        serving() as server,
        browsing(server.url, None, width=360, height=740) as (page, complaints),
    ):
        session = await started(page, server)
        await page.get_by_text("Typing works meanwhile").wait_for()
        await page.fill("#entry", "typed words")
        await page.press("#entry", "Enter")
        assert await session.received.get() == CallerText(text="typed words")
        told(session, is_cut=True)
        await page.locator(".bubble .unheard").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") == 360
        assert complaints == []


@on_loop
async def test_a_page_whose_call_is_transferred() -> None:
    """The person reads where the call goes on, and that it is over here."""
    async with serving() as server, browsing(server.url, None) as (page, complaints):
        session = await started(page, server)
        session.tell(DeadAir(rung=Rung.TRANSFER, waited_ms=30_000))
        session.line.send(Transfer(to="+49 30 123456", reason="nobody answers"))
        session.tell(SessionEnded(reason="transferred"))
        await page.get_by_text("Handing the call over (30 s without an answer).").wait_for()
        await page.get_by_text("It goes on at +49 30 123456.").wait_for()
        await page.locator(".note", has_text="Somebody else has the call now.").wait_for()
        await measured(page, "m.isOver")
        assert await page.locator("#state").inner_text() == "Not in a call"
        assert complaints == []


@on_loop
async def test_a_page_whose_server_goes_away() -> None:
    """When the server dies, a new call may begin when it is back, without the old notices."""
    process, url = await serving_program("brief")
    async with browsing(url, None) as (page, _):
        await page.click("#talk")
        await measured(page, "m.isStarted")
        process.kill()
        await process.wait()
        await page.get_by_text("The server is gone").wait_for()
        assert await page.locator("#state").inner_text() == "Not in a call"
        await page.get_by_role("button", name="Reconnect").click()
        await page.get_by_text("The server does not answer").wait_for()
        process, _ = await serving_program(port=int(url.rsplit(":", 1)[1]))
        await page.click("#talk")
        await measured(page, "m.isStarted && !m.isOver")
        assert await page.get_by_role("button", name="Reconnect").count() == 0
        await page.click("#talk")
        process.terminate()
        assert await process.wait() == 0


@on_loop
async def test_a_page_whose_server_forgot_the_call() -> None:
    """A server that was started anew does not know the call: the page says so, and starts one."""
    process, url = await serving_program()
    async with browsing(url, None) as (page, _):
        await page.click("#talk")
        await measured(page, "m.isStarted")
        process.kill()
        await process.wait()
        await page.locator(".note", has_text="The connection was lost").wait_for()
        assert await page.locator("#state").inner_text() == "Reconnecting"
        process, _ = await serving_program(port=int(url.rsplit(":", 1)[1]))
        await page.get_by_text("The server does not know this call any more.").wait_for()
        await page.get_by_role("button", name="Reconnect").click()
        await measured(page, "m.isStarted && !m.isOver")
        process.terminate()
        assert await process.wait() == 0


class Wire:
    """What lies between the page and the server: it can be cut, and mended."""

    def __init__(self) -> None:
        self.is_cut = False
        self.far = ""
        """The server that it leads to."""
        self._ends: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def to(self, url: str) -> AsyncGenerator[str]:
        """Another address of that server."""
        self.far = url

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self.is_cut:
                writer.transport.abort()
                return
            host, port = self.far.removeprefix("http://").split(":")
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            self._ends |= {writer, far_writer}
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))

        async with await asyncio.start_server(carry, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.cut()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.transport.abort()

    def cut(self) -> None:
        """Everything on it is lost, and nobody gets through."""
        self.is_cut = True
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def mend(self) -> None:
        """It carries again."""
        self.is_cut = False


@on_loop
async def test_a_page_comes_back_to_its_call() -> None:
    """A page that lost its connection hears all the rest, and what was said meanwhile arrives."""
    wire = Wire()
    async with (
        serving() as server,
        wire.to(server.url) as url,
        browsing(url, Path("/dev/null")) as (page, _),
    ):
        session = await started(page, server)
        tone = (np.sin(np.arange(24000) * 2 * np.pi * 440 / 24000) * 9000).astype(np.int16)
        session.line.send(PlayAudio(pcm=tone.tobytes()))
        await measured(page, "m.received === 24000")
        wire.cut()
        await page.locator(".note", has_text="The connection was lost").wait_for()
        assert await page.locator("#state").inner_text() == "Reconnecting"
        for _ in range(2):
            session.line.send(PlayAudio(pcm=tone.tobytes()))
        session.tell(Transcription(utterance_id=UtteranceId("u"), text="meanwhile", is_final=True))
        await page.fill("#entry", "typed meanwhile")
        await page.press("#entry", "Enter")
        while not session.received.empty():
            session.received.get_nowait()
        wire.mend()
        await page.locator(".note", has_text="Back in the call.").wait_for()
        said = await session.received.get()
        assert isinstance(said, CallerAudio)
        assert len(said.pcm) > RATE // 50 * 2, "frames that were kept come joined"
        while (event := await session.received.get()) != CallerText(text="typed meanwhile"):
            assert isinstance(event, CallerAudio)
        await page.get_by_text("meanwhile", exact=True).wait_for()
        heard = await measured(page, "m.received === 72000 && m.queuedMs === 0")
        assert 2999 <= heard["playedMs"] <= 3001
        assert (heard["losses"], heard["isLost"]) == (1, False)
        assert await page.locator("#state").inner_text() == "Ready"
        await page.click("#talk")
        await session.is_closed.wait()


@on_loop
async def test_a_page_comes_back_when_the_network_does() -> None:
    """When the browser says that there is no network, the page does not wait to find out."""
    async with serving() as server, browsing(server.url, None) as (page, _):
        session = await started(page, server)
        await page.evaluate("window.dispatchEvent(new Event('offline'))")
        await measured(page, "m.losses === 1 && !m.isLost")
        await page.fill("#entry", "typed words")
        await page.press("#entry", "Enter")
        while (await session.received.get()) != CallerText(text="typed words"):
            pass
        await page.click("#talk")
        await session.is_closed.wait()


@on_loop
async def test_a_page_that_is_turned_away_says_why() -> None:
    """A page that is one too many shows the reason."""
    async with serving(limits=Limits(max_sessions=1)) as server:
        await server.start()
        async with browsing(server.url, None) as (page, _):
            await page.click("#talk")
            await page.get_by_text("All 1 lines are busy").wait_for()
            assert await page.locator("#state").inner_text() == "Not in a call"


@on_loop
async def test_a_page_of_a_server_with_a_token() -> None:
    """The page asks for the token, says when it is wrong, and calls with the right one."""
    access = Access(host="127.0.0.1", token=TOKEN)
    async with serving(access=access) as server, browsing(server.url, None) as (page, _):
        await page.fill("#token", "not the token at all")
        await page.press("#token", "Enter")
        await page.get_by_text("does not take this token").wait_for()
        await page.fill("#token", TOKEN)
        await page.press("#token", "Enter")
        await page.locator("#token-dialog").wait_for(state="hidden")
        session = await started(page, server)
        assert TOKEN not in page.url
        session.end()
        await measured(page, "m.isOver")


@on_loop
async def test_the_resampler_keeps_speech_and_stops_aliases() -> None:
    """From 44.1 and 48 kHz to 16, speech passes unchanged and 10 kHz is gone by 60 dB."""
    async with serving() as server, browsing(server.url, None) as (page, _):
        levels: list[list[float]] = await page.evaluate(
            """async () => {
              const { Resampler } = await import("/static/resample.js");
              const level = (from, to, hertz) => {
                const filter = new Resampler(from, to);
                const made = [];
                let at = 0;
                for (; at < from; at += 128) {
                  const piece = Float32Array.from({ length: 128 },
                    (_, i) => Math.sin(2 * Math.PI * hertz * (at + i) / from));
                  made.push(...filter.process(piece));
                }
                const middle = made.slice(2000, 14000);
                const rms = Math.sqrt(middle.reduce((sum, x) => sum + x * x, 0) / middle.length);
                return [20 * Math.log10(rms * Math.SQRT2), made.length / (at * to / from)];
              };
              return [[48000, 16000], [44100, 16000]].flatMap(([from, to]) =>
                [level(from, to, 1000), level(from, to, 6000), level(from, to, 10000)]);
            }"""
        )
        for passed, speech, stopped in (levels[:3], levels[3:]):
            assert abs(passed[0]) < 0.05
            assert abs(speech[0]) < 0.5
            assert stopped[0] < -60
            assert abs(passed[1] - 1) < 0.001


@on_loop
async def test_frames_are_complete_at_another_rate() -> None:
    """A browser that has no 16 kHz context still sends frames of 20 ms at 16 kHz."""
    async with serving() as server, browsing(server.url, Path("/dev/null")) as (page, complaints):
        await page.evaluate(
            """() => {
              const Real = AudioContext;
              window.AudioContext = class extends Real {
                constructor(options) {
                  if (options.sampleRate === 16000) throw new DOMException("no");
                  super(options);
                }
              };
            }"""
        )
        session = await started(page, server)
        assert len(await heard(session, 0.5)) == RATE // 2
        await page.click("#talk")
        await session.is_closed.wait()
        assert complaints == []


@on_loop
async def test_a_page_without_loudspeaker() -> None:
    """Where the browser never starts the sound, the page says so, and the call goes on in words."""
    async with serving() as server, browsing(server.url, None) as (page, complaints):
        await page.evaluate(
            """() => {
              const Real = AudioContext;
              window.AudioContext = class extends Real {
                constructor(options) {
                  super(options);
                  this.suspend();
                  window.start = () => super.resume();
                }
                resume() { return new Promise(() => {}); }
              };
            }"""
        )
        session = await started(page, server)
        await page.get_by_text("The loudspeaker does not start").wait_for()
        told(session, is_cut=False)
        await page.locator(".bubble.agent", has_text="two tables").wait_for()
        session.line.send(PlayAudio(pcm=spoken(0.75).tobytes()))
        await measured(page, "m.received === 12000 && m.playedMs === 0")
        # A loudspeaker that is there after all plays what comes from now on.
        await page.evaluate("start()")
        await measured(page, "m.position === 12000")
        session.line.send(PlayAudio(pcm=spoken(0.3).tobytes()))
        await measured(page, "m.received === 16800 && m.position === 16800 && m.playedMs >= 199")
        assert complaints == []
