"""The official OpenAI SDK, unmodified, against the emulated Grok service on a real socket.

xAI has no SDK for this protocol, and names OpenAI's as a client. What its types do not know goes as
plain dictionaries, and comes back as plain dictionaries.
"""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from pydantic import ValidationError
from websockets.exceptions import InvalidStatus

from beluga_voice.testing.emulators.grok import KEY, GrokEmulator, Quirks
from beluga_voice.testing.emulators.speech import Calls, Fails, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.grok.grok_models import OFFICIAL_SERVER, OWN_SERVER, check_server
from providers.grok.grok_stage import LONG, check_frames, long_brain, scripted

MODEL = "grok-voice-latest"
RATE = 24000
SETTINGS = {
    "voice": "eve",
    "turn_detection": {"type": "server_vad"},
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": RATE},
            "transcription": {"model": "grok-transcribe"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": RATE}},
    },
    "resumption": {"enabled": True},
}


@asynccontextmanager
async def connected(service, *, model=MODEL, key=KEY, **query):
    """The SDK's connection to the service, on loopback."""
    base = f"http://127.0.0.1:{service.port}/v1"
    client = AsyncOpenAI(api_key=key, base_url=base)
    async with client, client.realtime.connect(model=model, extra_query=query) as connection:
        yield connection


async def configure(connection, **settings):
    """Settings in the service's own dialect, which the SDK's types do not have."""
    session = {**SETTINGS, **settings}
    await connection.send({"type": "session.update", "event_id": "mine", "session": session})
    await until(connection, "session.updated")


async def until(connection, kind):
    """The events up to the first of that kind, each checked."""
    events = []
    while True:
        event = json.loads(await connection.recv_bytes())
        check_server(event)
        connection.parse_event(json.dumps(event))
        events.append(event)
        if event["type"] == kind:
            return events


def kinds(events):
    """The kinds, each run of the same one as one."""
    found = [event["type"] for event in events]
    return [kind for i, kind in enumerate(found) if i == 0 or found[i - 1] != kind]


def sound(events):
    deltas = [one["delta"] for one in events if one["type"] == "response.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


async def append(connection, pcm):
    await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())


async def say(connection, text, *, pause_ms=600):
    await append(connection, pcm_of(speech(text, rate=RATE)) + silence(pause_ms, rate=RATE))


TRANSCRIPTION = "conversation.item.input_audio_transcription"
TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    f"{TRANSCRIPTION}.updated",
    f"{TRANSCRIPTION}.completed",
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
]


def test_a_turn_has_the_documented_order():
    """The service hears a turn, writes it down more than once, and answers in speech."""

    async def scene():
        service = GrokEmulator(lambda asked: Speaks("hi"))
        async with service.serving(), connected(service) as connection:
            first = await until(connection, "conversation.created")
            await configure(connection)
            await say(connection, "hello there")
            events = await until(connection, "response.done")
        check_frames(service.sessions[0])
        return first, events

    first, events = asyncio.run(scene())
    assert [one["type"] for one in first] == ["session.created", "conversation.created"]
    assert first[0]["session"]["model"] == MODEL
    assert kinds(events) == TURN
    assert words_in(sound(events)) == ["hi"]
    written = [one for one in events if one["type"] == f"{TRANSCRIPTION}.completed"]
    assert [(one["transcript"], one.get("status")) for one in written] == [
        ("hello", "in_progress"),
        ("hello there", "completed"),
        ("hello there", None),
    ]
    assert (events[-1]["response"]["usage"], events[-1]["usage"]["input_tokens"]) == ({}, 40)


def test_a_turn_with_a_tool_and_a_barge_in():
    """A call is answered and spoken of; speech stops that, and late sound comes after its end."""

    async def scene():
        brain = scripted(Calls("weather", '{"city": "Oslo"}'), Speaks(LONG))
        service = GrokEmulator(brain, pace=Pace(word_ms=40))
        async with service.serving(), connected(service) as connection:
            tool = {
                "type": "function",
                "name": "weather",
                "description": "",
                "parameters": {"type": "object"},
            }
            await configure(connection, tools=[tool])
            await say(connection, "how is it")
            called = await until(connection, "response.done")
            (call,) = called[-1]["response"]["output"]
            await connection.conversation.item.create(
                item={
                    "type": "function_call_output",
                    "call_id": call["call_id"],
                    "output": "minus 5",
                }
            )
            await connection.response.create()
            begun = await until(connection, "response.output_audio.delta")
            await append(connection, pcm_of(speech("stop", rate=RATE)))
            rest = await until(connection, "response.done")
            late = await until(connection, "response.output_audio.delta")
            item_id = begun[-1]["item_id"]
            await connection.conversation.item.truncate(
                item_id=item_id, content_index=0, audio_end_ms=200
            )
            await until(connection, "conversation.item.truncated")
            await connection.response.cancel()
            refused = await until(connection, "error")
            kept = service.sessions[0].conversation.get(item_id)
        check_frames(service.sessions[0])
        return called, rest, late, refused, kept, brain.asked

    called, rest, late, refused, kept, asked = asyncio.run(scene())
    (arguments,) = [one for one in called if one["type"].endswith("call_arguments.done")]
    assert (arguments["name"], arguments["arguments"]) == ("weather", '{"city": "Oslo"}')
    assert "response_id" not in arguments
    assert [result.output for result in asked[1].results] == ["minus 5"]
    done = rest[-1]["response"]
    assert (done["status"], done["status_details"]) == ("cancelled", "turn_detected")
    assert late[-1]["response_id"] == done["id"]
    assert kept.text == LONG.split()[0]
    assert "event_id" not in refused[-1]["error"]


def test_words_are_spoken_as_they_are():
    """A `force_message` is answered with a whole response, without being asked for."""

    async def scene():
        service = GrokEmulator(long_brain)
        async with service.serving(), connected(service) as connection:
            await configure(connection)
            content = [{"type": "output_text", "text": "Your order is confirmed."}]
            item = {
                "type": "force_message",
                "role": "assistant",
                "interruptible": True,
                "content": content,
            }
            await connection.send(
                {"type": "conversation.item.create", "event_id": "mine", "item": item}
            )
            events = await until(connection, "response.done")
        check_frames(service.sessions[0])
        return events

    events = asyncio.run(scene())
    assert words_in(sound(events)) == ["Your", "order", "is", "confirmed."]
    assert events[0]["type"] == "response.created"
    assert events[0]["response"]["metadata"] is None


@pytest.mark.parametrize(("interruptible", "status"), [(True, "cancelled"), (False, "completed")])
def test_words_may_be_spoken_over_whoever_speaks(interruptible, status):
    """While words sound that may not be interrupted, nobody listens."""

    async def scene():
        service = GrokEmulator(pace=Pace(word_ms=20))
        async with service.serving(), connected(service) as connection:
            await configure(connection)
            content = [{"type": "output_text", "text": LONG}]
            item = {"type": "force_message", "role": "assistant", "content": content}
            item["interruptible"] = interruptible
            await connection.send(
                {"type": "conversation.item.create", "event_id": "mine", "item": item}
            )
            await until(connection, "response.output_audio.delta")
            await append(connection, pcm_of(speech("stop", rate=RATE)))
            return await until(connection, "response.done")

    events = asyncio.run(scene())
    assert events[-1]["response"]["status"] == status
    assert ("input_audio_buffer.speech_started" in kinds(events)) is interruptible


def test_a_conversation_is_continued_by_its_id():
    """What was said comes again on another connection, if both asked for it."""

    async def scene():
        service = GrokEmulator(lambda asked: Speaks("hi"))
        replayed = []
        async with service.serving():
            async with connected(service) as connection:
                await configure(connection)
                await say(connection, "hello there")
                await until(connection, "response.done")
            for enabled in (True, False):
                async with connected(service, conversation_id="conv_0001") as connection:
                    await configure(connection, resumption={"enabled": enabled})
                    await connection.input_audio_buffer.clear()
                    replayed.append(await until(connection, "input_audio_buffer.cleared"))
        return replayed

    both, one_side = asyncio.run(scene())
    assert [one["type"] for one in both[:-1]] == ["conversation.item.created"] * 2
    assert [one["item"]["role"] for one in both[:-1]] == ["user", "assistant"]
    assert len(one_side) == 1


@pytest.mark.parametrize("kind", sorted(OWN_SERVER))
def test_models_of_our_own_are_for_what_the_sdk_does_not_know(kind):
    """Each kind that has a model of ours has messages that OpenAI's types refuse."""

    async def scene():
        brain = scripted([Speaks("one"), Calls("f")], Fails())
        quick = GrokEmulator(brain, quirks=Quirks(ping_seconds=0.01))
        async with quick.serving(), connected(quick) as connection:
            await configure(connection)
            await until(connection, "ping")
            await say(connection, "hello there")
            await until(connection, "response.done")
            await connection.response.cancel()
            await connection.response.create()
            await until(connection, "response.done")
        return [one for one in quick.sessions[0].sent if one["type"] == kind]

    found = asyncio.run(scene())
    assert found
    with pytest.raises(ValidationError):
        for one in found:
            OFFICIAL_SERVER.validate_python(one)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "session.updates"}, "invalid_value"),
        ({"type": "session.update", "session": {"voice": 5}}, "invalid_type"),
        (
            {"type": "session.update", "session": {"turn_detection": {"threshold": 0.95}}},
            "invalid_value",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 12000}}}},
            },
            "invalid_value",
        ),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value"),
        ({"type": "response.create", "response": {"input": []}}, "unknown_parameter"),
        ({"type": "conversation.item.retrieve", "item_id": "item_1"}, "invalid_value"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "force_message", "role": "assistant", "content": []},
            },
            "invalid_value",
        ),
        ({"type": "conversation.item.delete", "item_id": "item_9"}, "invalid_item_id"),
    ],
)
def test_a_wrong_message_is_answered_with_an_error(frame, code):
    """The service refuses what the protocol does not have, and goes on."""

    async def scene():
        service = GrokEmulator()
        async with service.serving(), connected(service) as connection:
            await until(connection, "conversation.created")
            await connection.send({**frame, "event_id": "mine"})
            (event,) = await until(connection, "error")
            await connection.response.create()
            await until(connection, "response.done")
        return event

    error = asyncio.run(scene())["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)


@pytest.mark.parametrize(
    ("settings", "status", "words"),
    [
        ({"key": "wrong"}, 400, b"Incorrect API key"),
        ({"model": "grok-1"}, 404, b"grok-1"),
    ],
)
def test_a_handshake_that_is_refused_says_why(settings, status, words):
    """The SDK is told by HTTP status and body."""

    async def scene():
        service = GrokEmulator()
        async with service.serving(), connected(service, **settings):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(scene())
    response = caught.value.response
    assert response.status_code == status
    assert words in response.body
