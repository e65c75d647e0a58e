"""The official SDK, unmodified, lets the emulated service speak, on real sockets."""

import asyncio
import base64

import openai
import pytest
from openai.types.audio import SpeechCreateParams
from pydantic import TypeAdapter

from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechDone
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.openai import OpenAITts
from beluga_voice.testing.emulators.openai_http import KEY, OpenAIHttpEmulator
from beluga_voice.testing.speech import words_in

REQUEST = TypeAdapter(SpeechCreateParams)


def test_the_sdk_hears_the_service():
    """Raw sound and events have the same words."""

    async def scene():
        service = OpenAIHttpEmulator()
        wanted = {"model": "gpt-4o-mini-tts", "voice": "alloy", "input": "Hello there."}
        async with (
            service.serving(),
            openai.AsyncOpenAI(api_key=KEY, base_url=service.url, max_retries=0) as client,
        ):
            speech = client.audio.speech.with_streaming_response
            async with speech.create(**wanted, response_format="pcm") as raw:
                plain = b"".join([piece async for piece in raw.iter_bytes()])
            async with speech.create(
                **wanted, response_format="pcm", stream_format="sse"
            ) as events:
                lines = [line async for line in events.iter_lines()]
            with pytest.raises(openai.BadRequestError):
                await client.audio.speech.create(**{**wanted, "voice": "nobody"})
        return plain, lines, service.exchanges[1].sent

    plain, lines, sent = asyncio.run(scene())
    assert words_in(plain) == ["Hello", "there."]
    assert b"".join(base64.b64decode(one["audio"]) for one in sent if "audio" in one) == plain
    assert sent[-1]["type"] == "speech.audio.done"
    assert len([line for line in lines if line.startswith("data:")]) == 3


def test_our_requests_are_those_of_the_sdk():
    """The official types take every field, over real sockets too."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with service.serving():
            made = OpenAITts(api_key=KEY, endpoint=service.url)
            async with made.connect(TtsOptions(speed=2.0, style="Sing.")) as link:
                link.send(SpeakText(context_id=ContextId("a"), text="Hello there."))
                link.send(FinishSpeech(context_id=ContextId("a")))
                async for event in link:
                    if isinstance(event, SpeechDone):
                        break
        return service.exchanges

    (exchange,) = asyncio.run(scene())
    assert REQUEST.validate_python(exchange.fields)["instructions"] == "Sing."
    assert exchange.is_whole
