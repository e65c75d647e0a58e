"""The official OpenAI SDK, unmodified, against the emulated service on a real socket."""

import asyncio
import base64
from contextlib import asynccontextmanager

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from beluga_voice.testing.emulators.openai_live import KEY, OpenAILiveEmulator
from beluga_voice.testing.emulators.openai_live_session import Manners
from beluga_voice.testing.emulators.speech import Calls, Faults, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.openai_live.live_stage import (
    LONG,
    check_frames,
    check_server,
    long_brain,
    scripted,
)

MODEL = "gpt-live-1"
RATE = 24000


@asynccontextmanager
async def connected(service: OpenAILiveEmulator, *, key: str = KEY, session=None):
    """The SDK's connection to the service, on loopback; started unless told otherwise."""
    async with service.serving():
        base = f"http://127.0.0.1:{service.port}/v1"
        client = AsyncOpenAI(api_key=key, base_url=base)
        async with client, client.live.connect() as connection:
            if session is not False:
                await connection.session.start(session=session or {"model": MODEL})
                await until(connection, "session.started")
            yield connection


async def until(connection, kind):
    """The events up to the first of that kind, each checked."""
    events = []
    while True:
        event = await connection.recv()
        check_server(event.model_dump(exclude_unset=True))
        events.append(event)
        if event.type == kind:
            return events


async def append(connection, pcm):
    await connection.session.input_audio.append(audio=base64.b64encode(pcm).decode())


async def pass_time(connection, milliseconds):
    """Silence goes to the service, in pieces of 100 ms; all that comes back for it."""
    events = []
    for _ in range(milliseconds // 100):
        await append(connection, silence(100, rate=RATE))
        events += await until(connection, "session.output_audio.delta")
    return events


async def say(connection, text):
    """Words go to the service, each 200 ms long; all that comes back for them."""
    await append(connection, pcm_of(speech(text, rate=RATE)))
    events = []
    for _ in range(2 * len(text.split())):
        events += await until(connection, "session.output_audio.delta")
    return events


def sound(events):
    deltas = [one.delta for one in events if one.type == "session.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


def words(events, kind):
    return "".join(one.delta for one in events if one.type == f"session.{kind}_transcript.delta")


def test_time_is_the_sound_of_the_person():
    """For each tenth of a second that is sent, a tenth is given, and nothing without."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service) as connection:
            await append(connection, silence(950, rate=RATE))
            events = [await connection.recv() for _ in range(9)]
            await append(connection, silence(50, rate=RATE))
            events += await until(connection, "session.output_audio.delta")
        check_frames(service.sessions[0])
        return events

    events = asyncio.run(scene())
    assert [one.type for one in events] == ["session.output_audio.delta"] * 10
    pcm = sound(events)
    assert len(pcm) == 48000
    assert set(pcm[: 4 * 4800]) == {0, 20, 255, 236}  # a dither of 20, for 0.4 s
    assert set(pcm[4 * 4800 :]) == {0}


def test_a_turn_is_heard_and_answered():
    """The words of both come in fragments, with times, among the sound."""

    async def scene():
        service = OpenAILiveEmulator(lambda asked: Speaks("hi you"))
        async with connected(service) as connection:
            events = await say(connection, "hello there")
            events += await pass_time(connection, 2000)
        check_frames(service.sessions[0])
        return events

    events = asyncio.run(scene())
    assert words(events, "input") == "hello there"
    assert words(events, "output") == "hi you"
    assert words_in(sound(events)) == ["hi", "you"]
    heard = [one for one in events if one.type == "session.input_transcript.delta"]
    assert [(one.start_ms, one.end_ms) for one in heard] == [(0, 200), (200, 400)]
    spoken = [one for one in events if one.type == "session.output_transcript.delta"]
    assert [(one.start_ms, one.end_ms) for one in spoken] == [(800, 1000), (1000, 1200)]


def test_work_is_handed_to_the_client():
    """It has an id and no task; what it gave is placed, acknowledged and spoken."""

    async def scene():
        service = OpenAILiveEmulator(scripted(Calls("anything")))
        async with connected(service) as connection:
            await say(connection, "when is my train")
            events = await pass_time(connection, 1000)
            (created,) = [one for one in events if one.type == "session.delegation.created"]
            work = created.delegation.id
            await connection.session.thinking.append(content="I look.", delegation_id=work)
            await connection.session.commentary.append(
                content="at nine", delegation_id=work, event_id="mine"
            )
            spoken = await pass_time(connection, 1500)
        check_frames(service.sessions[0])
        return created, spoken

    created, spoken = asyncio.run(scene())
    assert (created.delegation.target, created.offset_ms) == ("client", 1200)
    placed = [one for one in spoken if one.type.endswith(".appended")]
    assert [(one.type, one.client_event_id) for one in placed] == [
        ("session.thinking.appended", None),
        ("session.commentary.appended", "mine"),
    ]
    assert words_in(sound(spoken)) == ["at", "nine"]


RESPONSES = {
    "model": MODEL,
    "delegation": {
        "type": "responses",
        "responses": {
            "model": "gpt-5.2",
            "tools": [{"type": "function", "name": "weather", "parameters": {"type": "object"}}],
        },
    },
}


def test_a_tool_is_called_and_its_result_spoken():
    """The working model calls, waits for all results and the word to go on, and is spoken."""

    async def scene():
        brain = scripted([Calls("weather", '{"city": "Oslo"}'), Calls("weather")], Speaks("cold"))
        service = OpenAILiveEmulator(brain)
        async with connected(service, session=RESPONSES) as connection:
            await say(connection, "how is it")
            events = await pass_time(connection, 1000)
            inner = [one.event for one in events if one.type == "response.event"]
            calls = [one["item"] for one in inner if one["type"] == "response.output_item.done"]
            for call in calls:
                await connection.response.create()
                (*_, refused) = await until(connection, "error")
                item = {"type": "function_call_output", "call_id": call["call_id"], "output": "-5"}
                await connection.response.item.create(item=item)
            await connection.response.create()
            spoken = await pass_time(connection, 1000)
        check_frames(service.sessions[0])
        return inner, refused, spoken, brain.asked

    inner, refused, spoken, asked = asyncio.run(scene())
    assert [one["type"] for one in inner] == [
        "response.created",
        "response.output_item.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert "No tool output found" in refused.error.message
    assert words_in(sound(spoken)) == ["cold"]
    assert [one.output for one in asked[1].results] == ["-5", "-5"]


def test_the_model_stops_when_it_is_spoken_to():
    """Nobody cancels: a voice that lasts makes it fall silent, a short one does not."""

    async def scene(text):
        service = OpenAILiveEmulator(long_brain)
        async with connected(service) as connection:
            await say(connection, "tell me")
            await pass_time(connection, 800)
            events = await say(connection, text)
            events += await pass_time(connection, 300)
        check_frames(service.sessions[0])
        return words(events, "output").split()

    assert len(asyncio.run(scene("no stop it now"))) <= 3
    assert len(asyncio.run(scene("mhm"))) >= 2
    assert LONG.startswith("one")


def test_mute_is_silence_to_the_model():
    """Time goes on while muted, and nothing is heard."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service) as connection:
            await connection.session.input_audio.mute()
            await until(connection, "session.input_audio.muted")
            muted = await say(connection, "hello")
            await connection.session.input_audio.unmute()
            await until(connection, "session.input_audio.unmuted")
            return muted, await say(connection, "hello")

    muted, heard = asyncio.run(scene())
    assert words(muted, "input") == ""
    assert words(heard, "input") == "hello"


def test_a_session_is_closed_in_order():
    """What was not placed is told to be lost; then the totals, then the end."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service) as connection:
            await pass_time(connection, 300)
            await connection.session.commentary.append(
                content="hi", delegation_id=None, event_id="mine"
            )
            await connection.session.close(event_id="bye")
            *_, lost, closed = await until(connection, "session.closed")
            rest = [event async for event in connection]
        check_frames(service.sessions[0])
        return lost, closed, rest

    lost, closed, rest = asyncio.run(scene())
    assert (lost.error.code, lost.error.client_event_id) == ("context_injection_incomplete", "mine")
    assert (closed.reason, closed.client_event_id) == ("close_requested", "bye")
    assert closed.usage.seconds == 0.3
    assert closed.session.status == "active"
    assert rest == []


def test_a_session_without_sound_expires():
    """Its client is taken to be gone."""

    async def scene():
        service = OpenAILiveEmulator(manners=Manners(idle_seconds=0.05))
        async with connected(service) as connection:
            (*_, closed) = await until(connection, "session.closed")
            return closed.reason

    assert asyncio.run(scene()) == "expired"


def test_a_change_of_settings_is_answered_with_all_of_them():
    """The kind of delegation stays; what is not said stays as it was."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service, session=RESPONSES) as connection:
            delegation = {"type": "responses", "responses": {"tools": []}}
            await connection.session.update(session={"delegation": delegation})
            (*_, updated) = await until(connection, "session.updated")
            await connection.session.update(session={"delegation": {"type": "client"}})
            (*_, refused) = await until(connection, "error")
        check_frames(service.sessions[0])
        return updated.session.delegation.responses, refused

    responses, refused = asyncio.run(scene())
    assert (responses.model, responses.tools) == ("gpt-5.2", [])
    assert refused.error.param == "session.delegation.type"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "session.brand_new"}, "invalid_value"),
        ({"type": "session.input_audio.commit"}, "invalid_value"),
        ({"type": "session.start", "session": {"model": MODEL}}, "invalid_event"),
        ({"type": "session.input_audio.append", "audio": "?"}, "invalid_audio"),
        ({"type": "session.input_audio.append", "audio": "AA=="}, "invalid_audio"),
        ({"type": "session.input_audio.append", "audio": ""}, "invalid_value"),
        ({"type": "session.thinking.append", "content": "x"}, "missing_required_parameter"),
        (
            {"type": "session.thinking.append", "content": "x", "delegation_id": "item_9"},
            "invalid_value",
        ),
        (
            {"type": "session.commentary.append", "content": "12 " * 501, "delegation_id": None},
            "invalid_value",
        ),
        ({"type": "response.create"}, "invalid_event"),
        ({"type": "response.item.create", "item": {}}, "invalid_event"),
        ({"type": "session.update", "session": {"instructions": "x"}}, "unknown_parameter"),
    ],
)
def test_a_wrong_message_is_answered_with_an_error(frame, code):
    """The service refuses what the protocol does not have, names the message, and goes on."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service) as connection:
            await connection.send({**frame, "event_id": "mine"})
            (*_, event) = await until(connection, "error")
            await pass_time(connection, 100)
            return event.error

    error = asyncio.run(scene())
    assert (error.code, error.client_event_id) == (code, "mine")


@pytest.mark.parametrize(
    ("session", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"model": "gpt-5"}, "model_not_found"),
        ({"model": MODEL, "temperature": 1}, "unknown_parameter"),
        ({"model": MODEL, "tools": []}, "unknown_parameter"),
        ({"model": MODEL, "audio": {"format": {"type": "audio/pcm", "rate": 48000}}}, "invalid"),
        ({"model": MODEL, "delegation": {"type": "responses"}}, "missing_required_parameter"),
        (
            {
                "model": MODEL,
                "input": [
                    {"role": "assistant", "content": [{"type": "input_text", "text": "no"}]},
                ],
            },
            "invalid_value",
        ),
        (
            {
                "model": MODEL,
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}] * 129,
            },
            "invalid",
        ),
    ],
)
def test_a_wrong_configuration_is_the_end(session, code):
    """An error before the start is the last word of the service."""

    async def scene():
        service = OpenAILiveEmulator()
        async with connected(service, session=False) as connection:
            await connection.send({"type": "session.start", "session": session})
            (event,) = await until(connection, "error")
            return event.error, [one async for one in connection]

    error, rest = asyncio.run(scene())
    assert error.code.startswith(code)
    assert rest == []


def test_the_configuration_comes_first():
    """Sound before it is refused, and ends what has not begun."""

    async def scene():
        async with connected(OpenAILiveEmulator(), session=False) as connection:
            await append(connection, silence(100, rate=RATE))
            (event,) = await until(connection, "error")
            return event.error.code

    assert asyncio.run(scene()) == "invalid_event"


def test_a_handshake_that_is_refused_says_why():
    """The SDK is told by HTTP status and body."""

    async def scene():
        async with connected(OpenAILiveEmulator(), key="wrong"):
            pass

    with pytest.raises(InvalidStatus) as caught:
        asyncio.run(scene())
    assert caught.value.response.status_code == 401
    assert b"invalid_api_key" in caught.value.response.body


def test_a_connection_can_end_without_a_word():
    """A fault that closes with a code is what the SDK takes for an error."""

    async def scene():
        faults = [Faults(drop_after_audio_ms=200, close_code=1011)]
        async with connected(OpenAILiveEmulator(faults=faults)) as connection:
            await say(connection, "hello")
            await pass_time(connection, 3000)

    with pytest.raises(ConnectionClosedError):
        asyncio.run(scene())
