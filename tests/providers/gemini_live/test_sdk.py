"""Google's own SDK, unmodified, against the emulated service, over TLS on this machine."""

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from google import genai
from google.genai import errors, types

from beluga_voice.testing.emulators.gemini_live import API_KEY, GeminiLiveEmulator
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Faults, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in

MODEL = "gemini-3.8-live"
SOUND = types.LiveConnectConfig(
    response_modalities=[types.Modality.AUDIO],
    input_audio_transcription=types.AudioTranscriptionConfig(),
    output_audio_transcription=types.AudioTranscriptionConfig(),
    session_resumption=types.SessionResumptionConfig(),
)
WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="weather",
            description="The weather",
            parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}},
            behavior=types.Behavior.BLOCKING,
        )
    ]
)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def serving(
    authority: trustme.CA,
) -> Callable[..., Any]:
    """Serve on a free port, with a client that trusts the certificate."""

    @asynccontextmanager
    async def open_service(
        emulator: GeminiLiveEmulator, *, api_key: str = API_KEY
    ) -> AsyncIterator[genai.Client]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(server)
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        async with emulator.serving("127.0.0.1", 0, ssl=server) as url:
            yield genai.Client(
                api_key=api_key,
                http_options=types.HttpOptions(
                    base_url=url.replace("wss", "https"), async_client_args={"ssl": trusting}
                ),
            )

    return open_service


async def say(session: Any, text: str, *, hush_ms: int = 700) -> None:
    """Send an utterance, as fast as it goes, and the silence that ends it."""
    sound = pcm_of(speech(text)) + silence(hush_ms)
    for start in range(0, len(sound), 1280):
        blob = types.Blob(data=sound[start : start + 1280], mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)


def sound_of(messages: list[types.LiveServerMessage]) -> bytes:
    """What the model said."""
    return b"".join(message.data or b"" for message in messages)


def check_frames(emulator: GeminiLiveEmulator) -> None:
    """Every frame of the service is one that the SDK's types allow; they allow nothing else."""
    for connection in emulator.connections:
        assert connection.sent
        for frame in connection.sent:
            types.LiveServerMessage.model_validate(frame)


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited() -> None:
        async with asyncio.timeout(10):
            await scene()

    asyncio.run(limited())


def test_a_turn(serving: Callable[..., Any]) -> None:
    """The service finds the turn in the sound; the SDK gets transcripts, sound and the end."""
    emulator = GeminiLiveEmulator(lambda _: Speaks("good evening"), holds_turns=False)

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            await say(session, "hello there")
            messages = [message async for message in session.receive()]
        contents = [one.server_content for one in messages if one.server_content]
        heard = [one.input_transcription.text for one in contents if one.input_transcription]
        said = [one.output_transcription.text for one in contents if one.output_transcription]
        assert "".join(heard).strip() == "hello there"
        assert "".join(said) == "good evening"
        assert words_in(sound_of(messages)) == ["good", "evening"]
        assert [one.generation_complete for one in contents].count(True) == 1
        assert contents[-1].turn_complete
        assert messages[-1].usage_metadata is not None
        assert messages[-1].usage_metadata.response_token_count == 10
        resumptions = [one.session_resumption_update for one in messages]
        assert [one.resumable for one in resumptions if one] == [True, False]
        check_frames(emulator)

    run(scene)


def test_a_turn_by_hand(serving: Callable[..., Any]) -> None:
    """With its detector off, the service answers at the end of the activity."""
    emulator = GeminiLiveEmulator(holds_turns=False)
    by_hand = types.RealtimeInputConfig(
        automatic_activity_detection=types.AutomaticActivityDetection(disabled=True)
    )
    config = SOUND.model_copy(update={"realtime_input_config": by_hand})

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=config) as session,
        ):
            await session.send_realtime_input(activity_start=types.ActivityStart())
            await say(session, "one two", hush_ms=0)
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            messages = [message async for message in session.receive()]
        assert words_in(sound_of(messages)) == ["one", "two"]
        check_frames(emulator)

    run(scene)


def test_a_tool(serving: Callable[..., Any]) -> None:
    """The model calls a tool, waits for what it gives, and speaks of it."""

    def brain(asked: Asked) -> Deed:
        if asked.results:
            return Speaks(asked.results[0].output)
        return Calls("weather", '{"city": "Oslo"}')

    emulator = GeminiLiveEmulator(brain, holds_turns=False)
    config = SOUND.model_copy(update={"tools": [WEATHER]})

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=config) as session,
        ):
            await session.send_client_content(
                turns=types.Content(role="user", parts=[types.Part(text="how is it in Oslo")])
            )
            messages: list[types.LiveServerMessage] = []
            async for message in session.receive():
                messages.append(message)
                if message.tool_call and message.tool_call.function_calls:
                    (call,) = message.tool_call.function_calls
                    assert (call.name, call.args) == ("weather", {"city": "Oslo"})
                    response = types.FunctionResponse(
                        id=call.id, name=call.name, response={"output": "snow"}
                    )
                    await session.send_tool_response(function_responses=response)
        assert words_in(sound_of(messages)) == ["snow"]
        check_frames(emulator)

    run(scene)


def test_an_interruption(serving: Callable[..., Any]) -> None:
    """A voice in the model's turn ends it, without `generation_complete`."""
    emulator = GeminiLiveEmulator(
        lambda asked: Speaks("ok" if asked.text == "stop" else "one two three four five six"),
        pace=Pace(word_ms=100),
        holds_turns=False,
    )

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            await say(session, "count")
            first: list[types.LiveServerMessage] = []
            async for message in session.receive():
                first.append(message)
                if len(words_in(sound_of(first))) == 2 and message.data:
                    await say(session, "stop")
            second = [message async for message in session.receive()]
        contents = [one.server_content for one in first if one.server_content]
        assert [one.interrupted for one in contents].count(True) == 1
        assert not any(one.generation_complete for one in contents)
        assert contents[-1].turn_complete
        assert words_in(sound_of(first)) == ["one", "two"]
        assert words_in(sound_of(second)) == ["ok"]
        check_frames(emulator)

    run(scene)


def test_a_conversation_goes_on_with_its_handle(serving: Callable[..., Any]) -> None:
    """A second connection with the handle of the first knows what was said."""
    emulator = GeminiLiveEmulator(
        lambda asked: Speaks(f"item {len(asked.history)}"), holds_turns=False
    )

    async def scene() -> None:
        async with serving(emulator) as client:
            handle = None
            async with client.aio.live.connect(model=MODEL, config=SOUND) as session:
                await session.send_realtime_input(text="first")
                async for message in session.receive():
                    assert message.go_away is None
                async for message in session.receive():  # after the turn comes the handle
                    assert message.session_resumption_update is not None
                    handle = message.session_resumption_update.new_handle
                    break
            again = types.SessionResumptionConfig(handle=handle)
            config = SOUND.model_copy(update={"session_resumption": again})
            async with client.aio.live.connect(model=MODEL, config=config) as session:
                await session.send_realtime_input(text="second")
                messages = [message async for message in session.receive()]
        assert words_in(sound_of(messages)) == ["item", "3"]
        check_frames(emulator)

    run(scene)


def test_instructions_change_in_mid_call(serving: Callable[..., Any]) -> None:
    """A context update changes what the model is told."""
    emulator = GeminiLiveEmulator(
        lambda asked: Speaks(asked.instructions or "none"), holds_turns=False
    )

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            await session.send_context_update(system_instruction="brief")
            await session.send_realtime_input(text="now")
            messages = [message async for message in session.receive()]
        assert words_in(sound_of(messages)) == ["brief"]

    run(scene)


def test_the_end_is_announced(serving: Callable[..., Any]) -> None:
    """A connection that ends is announced first, and closed with 1011."""
    emulator = GeminiLiveEmulator(faults=[Faults(expire_after_ms=100)], go_away_ms=50)

    async def scene() -> None:
        messages: list[types.LiveServerMessage] = []

        async def listen(session: Any) -> None:
            async for message in session.receive():
                messages.append(message)

        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            with pytest.raises(errors.APIError) as caught:
                await listen(session)
        assert caught.value.code == 1011
        (warning,) = [one.go_away for one in messages if one.go_away]
        assert warning.time_left == "0.05s"
        check_frames(emulator)

    run(scene)


def test_a_wrong_key_is_refused(serving: Callable[..., Any]) -> None:
    """A key the service does not know ends the connection with 1007."""
    emulator = GeminiLiveEmulator()

    async def scene() -> None:
        with pytest.raises(errors.APIError, match="API key not valid") as caught:
            async with (
                serving(emulator, api_key="wrong") as client,
                client.aio.live.connect(model=MODEL, config=SOUND),
            ):
                pass
        assert caught.value.code == 1007

    run(scene)


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"realtimeInput": {"loudness": 3}}, 1007),
        ({"realtimeInput": {"activityStart": {}}}, 1007),
        ({"realtimeInput": {"mediaChunks": [{"mimeType": "audio/pcm", "data": ""}]}}, 1007),
        ({"clientContent": {"turns": [{"role": "system", "parts": [{"text": "x"}]}]}}, 1007),
        ({"toolResponse": {"functionResponses": [{"id": "x", "name": "y", "response": {}}]}}, 1007),
        ({"setup": {"model": f"models/{MODEL}"}}, 1007),
        ({"setup": {"model": f"models/{MODEL}"}, "clientContent": {}}, 1007),
        ({"hello": {}}, 1007),
    ],
)
def test_what_is_not_of_the_protocol_is_refused(
    serving: Callable[..., Any], frame: dict[str, Any], code: int
) -> None:
    """A frame the service would not take ends the connection."""
    emulator = GeminiLiveEmulator()

    async def scene() -> None:
        async def listen(session: Any) -> None:
            async for _ in session.receive():
                pass

        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            await session._ws.send(json.dumps(frame))
            with pytest.raises(errors.APIError) as caught:
                await listen(session)
        assert caught.value.code == code

    run(scene)


def test_sound_is_base64_as_the_sdk_writes_it(serving: Callable[..., Any]) -> None:
    """What the SDK sends is what arrives, to the byte."""
    emulator = GeminiLiveEmulator()
    sound = bytes(range(256)) * 5

    async def scene() -> None:
        async with (
            serving(emulator) as client,
            client.aio.live.connect(model=MODEL, config=SOUND) as session,
        ):
            blob = types.Blob(data=sound, mime_type="audio/pcm;rate=16000")
            await session.send_realtime_input(audio=blob)
            await session.send_realtime_input(audio_stream_end=True)
            async for _ in session.receive():
                pass
        (connection,) = emulator.connections
        audio = connection.received[1]["realtimeInput"]["audio"]
        assert base64.urlsafe_b64decode(audio["data"]) == sound

    run(scene)
