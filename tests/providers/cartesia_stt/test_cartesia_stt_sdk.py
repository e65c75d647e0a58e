"""The official SDK, unmodified, against the emulated Cartesia Ink service on a real socket."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from cartesia import AsyncCartesia
from cartesia.types.stt import (
    STTAutoFinalizeWebsocketRequest,
    STTAutoFinalizeWebsocketResponse,
    STTManualFinalizeWebsocketRequest,
    STTManualFinalizeWebsocketResponse,
)
from pydantic import TypeAdapter
from websockets.exceptions import InvalidStatus

from beluga_voice.events import FinishUtterance, SendAudio, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.cartesia import CartesiaStt
from beluga_voice.testing.emulators.cartesia_stt import KEY, CartesiaSttEmulator
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, silence, speech
from providers.cartesia_stt.cartesia_stt_stage import listening

TURNS = TypeAdapter(STTAutoFinalizeWebsocketResponse)
MANUAL = TypeAdapter(STTManualFinalizeWebsocketResponse)
SOUND = {"encoding": "pcm_s16le", "sample_rate": 16000}


@asynccontextmanager
async def client(service, key=KEY):
    """The SDK, aimed at the service."""
    address = f"127.0.0.1:{service.port}"
    async with AsyncCartesia(
        api_key=key, base_url=f"http://{address}", websocket_base_url=f"ws://{address}"
    ) as made:
        yield made


async def until(connection, kind):
    """The events up to the first of that kind."""
    events = []
    async for event in connection:
        events.append(event)
        if event.type == kind:
            break
    return events


def test_a_turn_by_the_sdk():
    """It hears a turn from its start to its end, and every message is of the SDK's types."""

    async def scene():
        service = CartesiaSttEmulator()
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.stt.auto_finalize.websocket(
                model="ink-2", keyterm=["hello"], turn_end_timeout_ms=700, **SOUND
            ) as connection,
        ):
            await connection.send({"type": "config", "turn": {"end_threshold": 0.1}})
            await connection.send_raw(pcm_of(speech("hello")) + silence(1000))
            await connection.send_raw(pcm_of(speech("there")) + silence(1000))
            first = await until(connection, "turn.end")
            second = await until(connection, "turn.end")
            await connection.send({"type": "close"})
            rest = [event async for event in connection]
        return first, second, rest, service.sessions[0]

    first, second, rest, session = asyncio.run(scene())
    assert [one.type for one in first] == [
        "connected",
        "turn.start",
        "turn.update",
        "turn.eager_end",
        "turn.end",
    ]
    assert first[-1].transcript + second[-1].transcript == "hello there"
    assert rest == []
    assert session.query["keyterm"] == ["hello"]
    assert session.errors == []
    for frame in session.sent:
        TURNS.validate_python(frame)


def test_a_finalize_by_the_sdk():
    """Text comes in deltas, then the answer to the order."""

    async def scene():
        service = CartesiaSttEmulator(has_word_lists=True)
        async with (
            service.serving(),
            client(service) as sdk,
            sdk.stt.manual_finalize.websocket(model="ink-2", **SOUND) as connection,
        ):
            for word in ("hello", "there"):
                await connection.send_raw(pcm_of(speech(word)))
                await connection.send("finalize")
            events = await until(connection, "flush_done") + await until(connection, "flush_done")
            await connection.send("close")
            rest = [event.type async for event in connection]
        return events, rest, service.sessions[0]

    events, rest, session = asyncio.run(scene())
    finals = [one for one in events if one.type == "transcript" and one.is_final]
    assert "".join(one.text for one in finals) == "hello there"
    assert finals[1].words[0].to_dict() == {"words": ["there"], "start": [0.2], "end": [0.4]}
    assert rest == ["done"]
    for frame in session.sent:
        MANUAL.validate_python(frame)


@pytest.mark.parametrize(
    ("key", "model", "status", "words"),
    [("wrong", "ink-2", 401, b"Invalid API key"), (KEY, "ink-whisper", 400, b"ink-whisper")],
)
def test_a_handshake_that_is_refused_says_why(key, model, status, words):
    """The SDK is told by HTTP status and body."""

    async def scene():
        service = CartesiaSttEmulator()
        async with (
            service.serving(),
            client(service, key) as sdk,
            sdk.stt.auto_finalize.websocket(model=model, **SOUND),
        ):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(scene())
    assert caught.value.response.status_code == status
    assert words in caught.value.response.body


def test_a_wrong_message_is_answered_with_an_error():
    """Of the SDK's type, and the connection goes on."""

    async def scene():
        service = CartesiaSttEmulator()
        async with service.serving(), client(service) as sdk:
            async with sdk.stt.manual_finalize.websocket(model="ink-2", **SOUND) as connection:
                await connection.send("commit")
                await connection.send_raw(b"odd")
                manual = [await connection.recv(), await connection.recv()]
            async with sdk.stt.auto_finalize.websocket(model="ink-2", **SOUND) as connection:
                for text in (
                    "finalize",
                    '{"type": "flush"}',
                    '{"type": "config", "turn": {"a": 1}}',
                ):
                    await connection.send_raw(text)
                turns = [await connection.recv() for _ in range(4)]
        return manual, turns[1:]

    manual, turns = asyncio.run(scene())
    assert {(one.type, one.status_code) for one in (*manual, *turns)} == {("error", 400)}


@pytest.mark.parametrize("settings", [{}, {"manual": True}])
def test_what_we_send_is_of_the_sdks_types(settings):
    """Orders in text, sound in whole samples, and never an empty message."""

    async def scene():
        async with listening(**settings) as (person, service):
            await person.say("hello there")
            person.finish("a")
            await asyncio.sleep(1)
            return service.sessions[0]

    session = simulate(scene)
    kind = STTManualFinalizeWebsocketRequest if settings else STTAutoFinalizeWebsocketRequest
    for order in session.orders:
        TypeAdapter(kind).validate_python(order)
    assert bool(session.orders) is bool(settings)
    assert all(one and len(one) % 2 == 0 for one in session.received if isinstance(one, bytes))


@pytest.mark.parametrize("manual", [False, True])
def test_it_works_on_a_real_socket(manual):
    """One utterance, waiting for its answer only."""

    async def scene():
        service = CartesiaSttEmulator()
        async with service.serving():
            made = CartesiaStt(api_key=KEY, endpoint=service.url, manual=manual)
            async with made.connect(SttOptions()) as link:
                link.send(SendAudio(pcm=pcm_of(speech("hello there"))))
                link.send(FinishUtterance(utterance_id=UtteranceId("a")))
                async for event in link:
                    if isinstance(event, Transcript) and event.is_final:
                        return event.text
        return None

    assert asyncio.run(scene()) == "hello there"
