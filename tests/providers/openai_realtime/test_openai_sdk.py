"""The official OpenAI SDK, unmodified, against the emulated service on a real socket."""

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import InvalidStatus

from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.speech import Calls, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.openai_realtime.openai_stage import (
    LONG,
    check_frames,
    check_server,
    long_brain,
    scripted,
)

MODEL = "gpt-realtime-2.1"
RATE = 24000


@asynccontextmanager
async def connected(service: OpenAIRealtimeEmulator, *, model: str = MODEL, key: str = KEY):
    """The SDK's connection to the service, on loopback."""
    async with service.serving():
        base = f"ws://127.0.0.1:{service.port}/v1"
        client = AsyncOpenAI(api_key=key, websocket_base_url=base)
        async with client, client.realtime.connect(model=model) as connection:
            yield connection


async def until(connection, kind):
    """The events up to the first of that kind, each checked."""
    events = []
    while True:
        event = await connection.recv()
        check_server(event.model_dump())
        events.append(event)
        if event.type == kind:
            return events


def kinds(events):
    """The kinds, each run of the same one as one."""
    found = [event.type for event in events]
    return [kind for i, kind in enumerate(found) if i == 0 or found[i - 1] != kind]


def sound(events):
    deltas = [event.delta for event in events if event.type == "response.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


async def append(connection, pcm):
    await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())


async def say(connection, text, *, pause_ms=600):
    await append(connection, pcm_of(speech(text, rate=RATE)) + silence(pause_ms, rate=RATE))


TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
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
    "conversation.item.done",
    "response.done",
]


def test_a_turn_has_the_documented_order():
    """The service hears a turn, writes it down, and answers in speech, event by event."""

    async def scene():
        service = OpenAIRealtimeEmulator(lambda asked: Speaks("hi"))
        async with connected(service) as connection:
            first = await connection.recv()
            transcription = {"model": "gpt-transcribe"}
            await connection.session.update(
                session={"type": "realtime", "audio": {"input": {"transcription": transcription}}}
            )
            await until(connection, "session.updated")
            await say(connection, "hello there")
            events = await until(connection, "rate_limits.updated")
        check_frames(service.sessions[0])
        return first, events

    first, events = asyncio.run(scene())
    assert first.type == "session.created"
    assert first.session.model == MODEL
    assert kinds(events) == [*TURN, "rate_limits.updated"]
    assert words_in(sound(events)) == ["hi"]
    (started,) = [one for one in events if one.type == "input_audio_buffer.speech_started"]
    (stopped,) = [one for one in events if one.type == "input_audio_buffer.speech_stopped"]
    assert (started.audio_start_ms, stopped.audio_end_ms) == (0, 900)
    (written,) = [one for one in events if one.type.endswith("transcription.completed")]
    assert written.transcript == "hello there"
    done = events[-2].response
    assert (done.status, done.usage.input_token_details.audio_tokens) == ("completed", 20)


def test_a_tool_is_called_and_its_result_spoken():
    """A function call comes in parts and whole; its output leads to a second response."""

    async def scene():
        brain = scripted(Calls("weather", '{"city": "Oslo"}'), Speaks("cold"))
        service = OpenAIRealtimeEmulator(brain)
        async with connected(service) as connection:
            tool = {
                "type": "function",
                "name": "weather",
                "description": "",
                "parameters": {"type": "object"},
            }
            await connection.session.update(session={"type": "realtime", "tools": [tool]})
            await say(connection, "how is it")
            called = await until(connection, "response.done")
            (call,) = called[-1].response.output
            await connection.conversation.item.create(
                item={"type": "function_call_output", "call_id": call.call_id, "output": "minus 5"}
            )
            await connection.response.create()
            spoken = await until(connection, "response.done")
        check_frames(service.sessions[0])
        return call, called, spoken, brain.asked

    call, called, spoken, asked = asyncio.run(scene())
    assert (call.name, call.arguments, call.status) == ("weather", '{"city": "Oslo"}', "completed")
    deltas = [one.delta for one in called if one.type == "response.function_call_arguments.delta"]
    assert "".join(deltas) == '{"city": "Oslo"}'
    assert words_in(sound(spoken)) == ["cold"]
    assert [result.output for result in asked[1].results] == ["minus 5"]
    assert [tool.name for tool in asked[0].tools] == ["weather"]


def test_a_barge_in_cancels_and_can_be_truncated():
    """Speech cancels a response that is being made; what was not heard of it is forgotten."""

    async def scene():
        service = OpenAIRealtimeEmulator(long_brain, pace=Pace(word_ms=40))
        async with connected(service) as connection:
            await connection.recv()
            await say(connection, "tell me")
            begun = await until(connection, "response.output_audio.delta")
            await append(connection, pcm_of(speech("stop", rate=RATE)))
            rest = await until(connection, "response.done")
            item_id = begun[-1].item_id
            for end in (100_000, 200):
                await connection.conversation.item.truncate(
                    item_id=item_id, content_index=0, audio_end_ms=end
                )
            refused = await until(connection, "error")
            cut = await until(connection, "conversation.item.truncated")
            await connection.response.cancel()
            again = await until(connection, "error")
            kept = service.sessions[0].conversation.get(item_id)
        check_frames(service.sessions[0])
        return rest, refused[-1].error, cut[-1], again[-1].error, kept

    rest, refused, cut, again, kept = asyncio.run(scene())
    done = rest[-1].response
    assert (done.status, done.status_details.reason) == ("cancelled", "turn_detected")
    assert done.output[0].status == "incomplete"
    assert refused.code == "invalid_value"
    assert "is already shorter than 100000ms" in refused.message
    assert cut.audio_end_ms == 200
    assert kept.text == LONG.split()[0]
    assert again.code == "response_cancel_not_active"


def test_a_turn_by_hand_needs_sound():
    """Without turn detection the client commits; too little sound is an error and harms nothing."""

    async def scene():
        service = OpenAIRealtimeEmulator()
        async with connected(service) as connection:
            await connection.session.update(
                session={"type": "realtime", "audio": {"input": {"turn_detection": None}}}
            )
            await append(connection, bytes(2 * RATE // 20))
            await connection.input_audio_buffer.commit()
            (*_, error) = await until(connection, "error")
            await say(connection, "good morning")
            await connection.input_audio_buffer.commit()
            await connection.response.create()
            spoken = await until(connection, "response.done")
        return error.error, spoken

    error, spoken = asyncio.run(scene())
    assert error.code == "input_audio_buffer_commit_empty"
    assert "only has 50.00ms" in error.message
    assert words_in(sound(spoken)) == ["good", "morning"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "session.updates"}, "invalid_value"),
        ({"type": "session.update", "session": {}}, "missing_required_parameter"),
        (
            {"type": "session.update", "session": {"type": "realtime", "temperature": 0.8}},
            "unknown_parameter",
        ),
        (
            {
                "type": "session.update",
                "session": {
                    "type": "realtime",
                    "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}},
                },
            },
            "invalid_value",
        ),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_value"),
        ({"type": "response.create", "response": {"metadata": 5}}, "invalid_type"),
        (
            {
                "type": "conversation.item.create",
                "item": {"type": "function_call_output", "call_id": "?", "output": ""},
            },
            "invalid_tool_call_id",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "input_text", "text": "no"}],
                },
            },
            "invalid_value",
        ),
        ({"type": "conversation.item.delete", "item_id": "item_9"}, "invalid_item_id"),
        ({"type": "output_audio_buffer.clear"}, "invalid_value"),
    ],
)
def test_a_wrong_message_is_answered_with_an_error(frame, code):
    """The service refuses what the protocol does not have, names the message, and goes on."""

    async def scene():
        service = OpenAIRealtimeEmulator()
        async with connected(service) as connection:
            await connection.recv()
            await connection.send({**frame, "event_id": "mine"})
            event = await connection.recv()
            await connection.response.create()
            await until(connection, "response.done")
        check_errors = [one for one in service.sessions[0].sent if one["type"] == "error"]
        for one in check_errors:
            check_server(one)
        return event

    event = asyncio.run(scene())
    assert (event.type, event.error.code, event.error.event_id) == ("error", code, "mine")


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"key": "wrong"}, 401, "invalid_api_key"),
        ({"model": "gpt-5"}, 404, "model_not_found"),
    ],
)
def test_a_handshake_that_is_refused_says_why(settings, status, code):
    """The SDK is told by HTTP status and body."""

    async def scene():
        async with connected(OpenAIRealtimeEmulator(), **settings):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(scene())
    response = caught.value.response
    assert response.status_code == status
    assert code.encode() in response.body
