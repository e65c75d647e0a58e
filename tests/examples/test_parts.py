"""The example provider, and the example application."""

import asyncio
import json
from array import array

import aiohttp
import pytest
from aiohttp import web
from examples.custom_stt import ClapCounter
from examples.embed_in_aiohttp import make_app

from beluga_voice import VoiceSession
from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    DropUtterance,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    SttEvent,
    Transcript,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedTts
from beluga_voice.testing.trace import Trace
from examples import custom_stt

CLAP = array("h", [12000, -12000] * 640).tobytes()
PAUSE = bytes(2 * 1280)


def test_claps_are_counted_within_an_utterance() -> None:
    """A final transcript names its utterance and counts only the claps of it."""

    async def scene() -> list[SttEvent]:
        one, two = UtteranceId("one"), UtteranceId("two")
        async with ClapCounter().connect(SttOptions()) as link:
            for command in (
                SendAudio(pcm=CLAP + PAUSE),
                DropUtterance(),
                SendAudio(pcm=CLAP + PAUSE + CLAP[:100]),
                SendAudio(pcm=CLAP[100:]),
                FinishUtterance(utterance_id=one),
                FinishUtterance(utterance_id=two),
            ):
                link.send(command)
        return [event async for event in link]

    assert simulate(scene) == [
        LinkReady(model="claps-1"),
        Transcript(text="two claps", is_final=True, utterance_id=UtteranceId("one")),
        Transcript(text="", is_final=True, utterance_id=UtteranceId("two")),
        LinkClosed(is_clean=True),
    ]


def test_a_format_it_does_not_hear_is_refused() -> None:
    """What cannot be honoured is found before anything is connected."""

    async def scene() -> None:
        with pytest.raises(Unsupported, match="16000 Hz"):
            async with ClapCounter().connect(SttOptions(input_format=pcm16(8000))):
                pass

    simulate(scene)


def test_a_session_hears_claps() -> None:
    """The provider works in a session, with a detector that tells clapping from quiet."""

    async def scene() -> list[str]:
        trace = Trace()
        session = VoiceSession(
            stt=ClapCounter(), tts=ScriptedTts(), vad="energy", observers=[trace]
        )
        async with session:
            for piece in (PAUSE, CLAP, PAUSE, CLAP, PAUSE, CLAP, *[PAUSE] * 12):
                session.send_audio(piece)
                await asyncio.sleep(0.08)
        return [one.text for one in trace.of(Transcription) if one.is_final]

    assert simulate(scene) == ["three claps"]


def test_the_program_of_the_example_prints_what_it_hears(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example runs as it is, with the embedded voice."""
    asyncio.run(custom_stt.main())
    assert capsys.readouterr().out == "two claps\n"


def test_the_application_has_a_page_and_a_voice() -> None:
    """A caller with a token is answered; one without gets 401; the page is there as before."""

    async def scene() -> tuple[str, int, str]:
        runner = web.AppRunner(make_app(), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with asyncio.timeout(60), aiohttp.ClientSession() as http:
                async with http.get(url) as page:
                    home = await page.text()
                async with http.get(f"{url}/voice") as denied:
                    refused = denied.status
                allowed = {"Authorization": "Bearer the-token-of-mary"}
                async with http.ws_connect(f"{url}/voice", headers=allowed) as call:
                    await call.send_json({"type": "start", "version": 1})
                    return home, refused, await _answer(call)
        finally:
            await runner.cleanup()

    home, refused, answer = asyncio.run(scene())
    assert home == "Call us at /voice."
    assert refused == 401
    assert answer.strip() == "2 plus 3 is 5."


async def _answer(call: aiohttp.ClientWebSocketResponse) -> str:
    """Type again once the session listens, and wait for the words of the answer."""
    async for message in call:
        if message.type is not aiohttp.WSMsgType.TEXT:
            continue
        received = json.loads(message.data)
        if received["type"] == "started":
            await call.send_json({"type": "text", "text": "what is two plus three"})
        event = received.get("event", {})
        if event.get("type") == "agent_response_ended":
            return str(event["heard_text"])
    return ""
