"""The official SDK, unmodified, against the emulated Cartesia Sonic service on a real socket."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from cartesia import AsyncCartesia, AuthenticationError, NotFoundError
from cartesia.types.generation_request_param import GenerationRequestParam
from cartesia.types.websocket_client_event_param import CancelContextRequest
from cartesia.types.websocket_response import WebsocketResponse
from pydantic import TypeAdapter
from websockets.exceptions import InvalidStatus

from beluga_voice.testing.emulators.cartesia_tts import KEY, VOICE_IDS, CartesiaTtsEmulator
from beluga_voice.testing.emulators.speech import Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import words_in
from providers.cartesia_tts.cartesia_tts_stage import reading

SERVER = TypeAdapter(WebsocketResponse)
REQUEST = TypeAdapter(GenerationRequestParam)
CANCEL = TypeAdapter(CancelContextRequest)
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24000}
SPEECH = {"model_id": "sonic-3", "voice": {"id": VOICE_IDS[0]}, "output_format": FORMAT}


@asynccontextmanager
async def client(service, key=KEY):
    """The SDK, aimed at the service."""
    address = f"127.0.0.1:{service.port}"
    async with AsyncCartesia(
        api_key=key, base_url=f"http://{address}", websocket_base_url=f"ws://{address}"
    ) as made:
        yield made


async def until_done(connection, name):
    """The events of a context to its end."""
    events = []
    async for event in connection:
        if event.context_id == name:
            events.append(event)
            if event.type in ("done", "error"):
                break
    return events


def sound(events):
    return b"".join(event.audio for event in events if event.type == "chunk")


def test_a_context_by_the_sdk():
    """It is spoken as it is joined, word by word, and every message is of the SDK's types."""

    async def scene():
        service = CartesiaTtsEmulator()
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.tts.websocket_connect() as connection,
        ):
            context = connection.context("mine", add_timestamps=True, **SPEECH)
            for text in ("Hel", "lo there. ", "You"):
                await context.push(text)
            await context.push("", flush=True)
            await context.no_more_inputs()
            events = [event async for event in context.receive()]
        return events, service.sessions[0]

    events, session = asyncio.run(scene())
    assert words_in(sound(events)) == ["Hello", "there.", "You"]
    assert [one.type for one in events][-2:] == ["flush_done", "done"]
    times = [one.word_timestamps for one in events if one.type == "timestamps"]
    assert [(one.words, one.start, one.end) for one in times][1] == (["there."], [0.2], [0.4])
    assert session.errors == []
    for frame in session.sent:
        SERVER.validate_python(frame)


def test_two_contexts_and_a_cancellation_by_the_sdk():
    """One sounds for a word more than it should, the other to its end."""

    async def scene():
        service = CartesiaTtsEmulator(pace=Pace(word_ms=20))
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.tts.websocket_connect() as connection,
        ):
            for name in ("a", "b"):
                await connection.send(
                    {"context_id": name, "transcript": "one two three four", **SPEECH}
                )
            first = await connection.recv()
            await connection.send({"context_id": first.context_id, "cancel": True})
            other = "b" if first.context_id == "a" else "a"
            return await until_done(connection, other), service.sessions[0], first.context_id

    events, session, cancelled = asyncio.run(scene())
    assert words_in(sound(events)) == ["one", "two", "three", "four"]
    chunks = [one for one in session.sent if one["type"] == "chunk"]
    assert sum(one["context_id"] == cancelled for one in chunks) < 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_id": "sonic-9"}, "model"),
        ({"voice": {"mode": "id", "id": VOICE_IDS[0]}}, "voice"),
        ({"voice": {"id": "nobody"}}, "voice"),
        ({"output_format": {**FORMAT, "sample_rate": 12345}}, "sample_rate"),
        ({"output_format": {**FORMAT, "container": "wav"}}, "container"),
        ({"max_buffer_delay_ms": 9000}, "max_buffer_delay_ms"),
        ({"transcript": " "}, "transcript"),
        ({"speaker": "x"}, "speaker"),
    ],
)
def test_a_wrong_request_is_answered_with_an_error(change, words):
    """Of the SDK's type; the context ends, and the connection goes on."""

    async def scene():
        service = CartesiaTtsEmulator()
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.tts.websocket_connect() as connection,
        ):
            request = {"context_id": "a", "transcript": "Hi", **SPEECH, **change}
            await connection._connection.send(json.dumps(request))
            (failed,) = await until_done(connection, "a")
            await connection.send({"context_id": "b", "transcript": "Hi", **SPEECH})
            return failed, await until_done(connection, "b")

    failed, events = asyncio.run(scene())
    assert failed.status_code == 400
    assert words in failed.message
    assert words_in(sound(events)) == ["Hi"]


def test_a_context_whose_settings_change_is_refused():
    """All pieces of one context share every field but their text."""

    async def scene():
        service = CartesiaTtsEmulator()
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.tts.websocket_connect() as connection,
        ):
            first = {"context_id": "a", "transcript": "Hello ", "continue": True, **SPEECH}
            await connection.send(first)
            await connection.send({**first, "model_id": "sonic-3.5"})
            async for event in connection:
                if event.type == "error":
                    return event.message
        return None

    assert asyncio.run(scene()) == "Only the transcript may change within a context."


def test_a_handshake_that_is_refused_says_why():
    """The SDK is told by HTTP status and body."""

    async def scene():
        service = CartesiaTtsEmulator()
        async with (
            service.serving(),
            client(service, "wrong") as sdk,
            sdk.tts.websocket_connect(),
        ):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(scene())
    assert caught.value.response.status_code == 401
    assert b"Invalid API key" in caught.value.response.body


def test_the_voices_by_the_sdk():
    """Page by page, and a wrong key or a wrong place is refused."""

    async def scene():
        service = CartesiaTtsEmulator(voices=["v1", "v2", "v3", "v4", "v5"], page_size=2)
        async with service.serving(), client(service) as sdk:
            listed = [voice async for voice in sdk.voices.list(limit=2)]
            with pytest.raises(NotFoundError):
                await sdk.voices.list(starting_after="nobody")
            async with client(service, "wrong") as stranger:
                with pytest.raises(AuthenticationError):
                    await stranger.voices.list()
        return listed

    listed = asyncio.run(scene())
    assert [one.id for one in listed] == ["v1", "v2", "v3", "v4", "v5"]
    assert listed[0].locales[0].locale == "en-US"
    assert listed[0].created_at.year == 2026


def test_what_we_send_is_of_the_sdks_types():
    """Requests and cancellations."""

    async def scene():
        async with reading() as (reader, service):
            reader.speak("a", "One. ", "Two.")
            reader.speak("b", "Three")
            reader.cancel("b")
            await asyncio.sleep(1)
            return service.sessions[0]

    session = simulate(scene)
    for order in session.orders:
        kind = CANCEL if "cancel" in order else REQUEST
        assert kind.validate_python(order) == order  # what they do not know, they leave out
    assert sum("cancel" in order for order in session.orders) == 1
    assert session.errors == []
