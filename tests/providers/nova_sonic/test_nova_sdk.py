"""Amazon's own SDK, unmodified, against the emulated Bedrock, over TLS on this machine."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    AccessDeniedException,
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
    InvokeModelWithBidirectionalStreamOutputChunk,
    ModelTimeoutException,
    ThrottlingException,
    ValidationException,
)
from smithy_http.aio.crt import AWSCRTHTTPClient

from beluga_voice.events import Message, Role
from beluga_voice.testing.emulators.nova_sonic import (
    ACCESS_KEY,
    MODELS,
    SECRET_KEY,
    NovaSonicEmulator,
    certificate,
)
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Faults, Pace, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from providers.nova_sonic.nova_models import check_events

SERVER, ISSUER = certificate()
NAMES = {"promptName": "p"}
LPCM = {
    "mediaType": "audio/lpcm",
    "sampleSizeBits": 16,
    "channelCount": 1,
    "audioType": "SPEECH",
    "encoding": "base64",
}


class Conversation:
    """A stream of the SDK, and the events that came of it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._received: Any = None
        self.events: list[tuple[str, dict[str, Any]]] = []

    async def send(self, name: str, **fields: Any) -> None:
        """Send an event."""
        data = json.dumps({"event": {name: fields}}).encode()
        part = BidirectionalInputPayloadPart(bytes_=data)
        await self.stream.input_stream.send(
            InvokeModelWithBidirectionalStreamInputChunk(value=part)
        )

    async def begin(self, *, tools: bool = False) -> None:
        """All that comes before the first sound."""
        await self.send("sessionStart", inferenceConfiguration={"maxTokens": 1024})
        schema = {"json": '{"type":"object"}'}
        spec = {"name": "weather", "description": "tells", "inputSchema": schema}
        configuration: dict[str, Any] = {
            "toolUseOutputConfiguration": {"mediaType": "application/json"},
            "toolConfiguration": {"tools": [{"toolSpec": spec}], "toolChoice": {"auto": {}}},
        }
        await self.send(
            "promptStart",
            **NAMES,
            textOutputConfiguration={"mediaType": "text/plain"},
            audioOutputConfiguration={**LPCM, "sampleRateHertz": 24000, "voiceId": "tiffany"},
            **(configuration if tools else {}),
        )
        await self.block("system", "SYSTEM", "be brief")
        await self.send(
            "contentStart",
            **NAMES,
            contentName="mic",
            type="AUDIO",
            interactive=True,
            role="USER",
            audioInputConfiguration={**LPCM, "sampleRateHertz": 16000},
        )

    async def block(self, name: str, role: str, text: str) -> None:
        """A block of text."""
        names = {**NAMES, "contentName": name}
        await self.send(
            "contentStart",
            **names,
            type="TEXT",
            interactive=False,
            role=role,
            textInputConfiguration={"mediaType": "text/plain"},
        )
        await self.send("textInput", **names, content=text)
        await self.send("contentEnd", **names)

    async def say(self, text: str, *, hush_ms: int = 300) -> None:
        """Send an utterance, as fast as it goes, and the silence that ends it."""
        sound = pcm_of(speech(text)) + silence(hush_ms)
        for start in range(0, len(sound), 1024):
            data = base64.b64encode(sound[start : start + 1024]).decode()
            await self.send("audioInput", **NAMES, contentName="mic", content=data)

    async def until(self, name: str, **fields: Any) -> dict[str, Any]:
        """Receive up to an event with these fields."""
        if self._received is None:
            _, self._received = await self.stream.await_output()
        while True:
            event = await self._received.receive()
            assert isinstance(event, InvokeModelWithBidirectionalStreamOutputChunk)
            ((kind, told),) = json.loads(event.value.bytes_)["event"].items()
            self.events.append((kind, told))
            if kind == name and fields.items() <= told.items():
                return dict(told)

    async def end(self) -> None:
        """The polite end, to the end of the answer."""
        await self.send("contentEnd", **NAMES, contentName="mic")
        await self.send("promptEnd", **NAMES)
        await self.send("sessionEnd")
        await self.until("completionEnd")
        assert await self._received.receive() is None
        await self.stream.input_stream.close()

    def texts(self, role: str) -> list[str]:
        """The words of one side."""
        return [
            told["content"]
            for kind, told in self.events
            if kind == "textOutput" and told["role"] == role
        ]

    def words(self) -> list[str]:
        """What sounded."""
        return words_in(
            b"".join(
                base64.b64decode(told["content"])
                for kind, told in self.events
                if kind == "audioOutput"
            )
        )


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Open a stream to an emulator, whose certificate is trusted through `SSL_CERT_FILE`."""
    path = tmp_path / "issuer.pem"
    path.write_bytes(ISSUER)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    @asynccontextmanager
    async def opening(
        emulator: NovaSonicEmulator, *, secret: str = SECRET_KEY, model: str = MODELS[0]
    ) -> AsyncGenerator[Conversation]:
        async with emulator.serving("127.0.0.1", 0, ssl=SERVER):
            config = await AsyncBedrockRuntimeConfig.resolve(
                region="us-east-1",
                endpoint_uri=emulator.url,
                aws_access_key_id=ACCESS_KEY,
                aws_secret_access_key=secret,
                transport=AWSCRTHTTPClient(),
                max_attempts=1,
            )
            asked = InvokeModelWithBidirectionalStreamOperationInput(model_id=model)
            async with AsyncBedrockRuntimeClient(config=config) as client:
                stream = await client.invoke_model_with_bidirectional_stream(asked)
                yield Conversation(stream)

    return opening


def run(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited() -> None:
        async with asyncio.timeout(10):
            await scene()

    asyncio.run(limited())


def test_a_turn_with_a_tool_and_an_interruption(talk: Callable[..., Any]) -> None:
    """The SDK hears a tool call and what comes of it, interrupts, and ends politely."""

    def brain(asked: Asked) -> Deed:
        if asked.results:
            return Speaks(f"{asked.results[-1].output} one two three four five six seven")
        return Speaks("fine") if "stop" in asked.text else Calls("weather", '{"city":"Oslo"}')

    emulator = NovaSonicEmulator(brain, silence_ms=200)

    async def scene() -> None:
        async with talk(emulator) as on:
            await on.begin(tools=True)
            await on.say("weather please")
            call = await on.until("toolUse")
            assert (call["toolName"], json.loads(call["content"])) == ("weather", {"city": "Oslo"})
            await on.until("contentEnd", stopReason="TOOL_USE")
            names = {**NAMES, "contentName": "result"}
            await on.send(
                "contentStart",
                **names,
                type="TOOL",
                interactive=False,
                role="TOOL",
                toolResultInputConfiguration={
                    "toolUseId": call["toolUseId"],
                    "type": "TEXT",
                    "textInputConfiguration": {"mediaType": "text/plain"},
                },
            )
            await on.send("toolResult", **names, content='{"result":"snow"}')
            await on.send("contentEnd", **names)
            await on.until("contentEnd", type="AUDIO", stopReason="END_TURN")
            await on.say("stop")
            await on.until("contentEnd", type="TEXT", stopReason="INTERRUPTED")
            await on.until("contentEnd", type="AUDIO", stopReason="END_TURN")
            await on.until("usageEvent")
            await on.end()
        assert on.texts("USER") == ["weather please", "stop"]
        assert '{ "interrupted" : true }' in on.texts("ASSISTANT")
        assert " ".join(on.words()) == "snow one two three four five six seven fine"
        assert emulator.sessions[0].is_polite
        check_events(emulator)
        assert [told for event in emulator.sessions[0].sent for told in event.items()] == on.events

    run(scene)


def test_nothing_is_answered_before_the_first_event(talk: Callable[..., Any]) -> None:
    """The service says 200 only once it was told something."""
    emulator = NovaSonicEmulator(silence_ms=200)

    async def scene() -> None:
        async with talk(emulator) as on:
            answered = asyncio.ensure_future(on.stream.await_output())
            while not emulator.sessions:
                await asyncio.sleep(0.01)
            assert not answered.done()
            await on.begin()
            await answered
            await on.say("hello")
            await on.until("usageEvent")
            await on.end()
        check_events(emulator)

    run(scene)


def test_history_is_known(talk: Callable[..., Any]) -> None:
    """What was said before is told in blocks before the sound."""
    asked: list[Asked] = []

    def brain(one: Asked) -> Deed:
        asked.append(one)
        return Speaks("yes")

    async def scene() -> None:
        async with talk(NovaSonicEmulator(brain, silence_ms=200)) as on:
            await on.send("sessionStart", inferenceConfiguration={})
            await on.send(
                "promptStart",
                **NAMES,
                textOutputConfiguration={"mediaType": "text/plain"},
                audioOutputConfiguration={**LPCM, "sampleRateHertz": 8000, "voiceId": "amy"},
            )
            await on.block("h1", "USER", "one")
            await on.block("h2", "ASSISTANT", "two")
            await on.send(
                "contentStart",
                **NAMES,
                contentName="mic",
                type="AUDIO",
                interactive=True,
                role="USER",
                audioInputConfiguration={**LPCM, "sampleRateHertz": 16000},
            )
            await on.say("three")
            await on.until("usageEvent")
            await on.end()
        assert asked[0].history == (
            Message(role=Role.USER, text="one"),
            Message(role=Role.AGENT, text="two"),
            Message(role=Role.USER, text="three"),
        )

    run(scene)


@pytest.mark.parametrize(
    ("faults", "settings", "kind"),
    [
        (Faults(refuse_status=403), {}, AccessDeniedException),
        (Faults(refuse_status=429), {}, ThrottlingException),
        (Faults(), {"model": "amazon.nova-9-sonic"}, ValidationException),
    ],
)
def test_refusals(
    talk: Callable[..., Any], faults: Faults, settings: dict[str, str], kind: type[Exception]
) -> None:
    """A request that is refused raises the SDK's own exception."""

    async def scene() -> None:
        async with talk(NovaSonicEmulator(faults=[faults]), **settings) as on:
            with pytest.raises(kind):
                await on.stream.await_output()

    run(scene)


def test_a_wrong_secret(talk: Callable[..., Any]) -> None:
    """A signature that another secret made is refused."""

    async def scene() -> None:
        async with talk(NovaSonicEmulator(), secret="guessed") as on:
            with pytest.raises(Exception, match="InvalidSignature"):
                await on.stream.await_output()

    run(scene)


def test_a_broken_chain_of_signatures(talk: Callable[..., Any]) -> None:
    """An event that does not follow the one before it is refused."""

    async def scene() -> None:
        async with talk(NovaSonicEmulator()) as on:
            await on.begin()
            await on.stream.await_output()
            on.stream.input_stream._signing_config.signer._prior_signature = b"00"
            await on.say("hello")
            with pytest.raises(Exception, match="signature of a frame"):
                await on.until("never")

    run(scene)


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        (Faults(error_code="ModelTimeoutException"), ModelTimeoutException),
        (Faults(error_code="ThrottlingException"), ThrottlingException),
        (Faults(expire_after_ms=200), ValidationException),
    ],
)
def test_exceptions_in_the_stream(
    talk: Callable[..., Any], faults: Faults, kind: type[Exception]
) -> None:
    """What fails in mid-call raises the SDK's own exception from the stream."""
    emulator = NovaSonicEmulator(faults=[faults], silence_ms=200, pace=Pace(thinking_ms=10))

    async def scene() -> None:
        async with talk(emulator) as on:
            await on.begin()
            await on.say("hello")
            with pytest.raises(kind):
                await on.until("never", x=1)

    run(scene)
