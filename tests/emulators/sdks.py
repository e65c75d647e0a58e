"""The vendors' SDKs, unmodified, at the emulated services on real sockets: what they see fail."""

import asyncio
import base64
import json
import ssl
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import trustme
from aws_sdk_bedrock_runtime.client import AsyncBedrockRuntimeClient
from aws_sdk_bedrock_runtime.config import AsyncBedrockRuntimeConfig
from aws_sdk_bedrock_runtime.models import (
    BidirectionalInputPayloadPart,
    InvokeModelWithBidirectionalStreamInputChunk,
    InvokeModelWithBidirectionalStreamOperationInput,
)
from elevenlabs.client import ElevenLabs
from google import genai
from google.genai import errors, types
from openai import AsyncOpenAI
from smithy_http.aio.crt import AWSCRTHTTPClient
from websockets.exceptions import ConnectionClosed

from beluga_voice.testing.emulators import elevenlabs_agents as agents
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import grok as xai
from beluga_voice.testing.emulators import nova_sonic as nova
from beluga_voice.testing.emulators import openai_live as live
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Faults, Speaks
from beluga_voice.testing.speech import pcm_of, silence, speech

with warnings.catch_warnings():
    # It names a class of the websocket library that is deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from elevenlabs.conversational_ai.conversation import AsyncAudioInterface, AsyncConversation

type Failure = dict[str, Any]
"""What an SDK made of it: what it raised or parsed, in the words that the error maps use."""


def brain(_: object) -> Speaks:
    """Long enough to be closed in the middle."""
    return Speaks("one two three four five six")


def said(text: str, rate: int) -> bytes:
    """An utterance, and the silence that ends it."""
    return pcm_of(speech(text, rate=rate)) + silence(900, rate=rate)


@asynccontextmanager
async def openai(port: int, key: str) -> AsyncGenerator[AsyncOpenAI]:
    """OpenAI's client, aimed at a service."""
    async with AsyncOpenAI(api_key=key, base_url=f"http://127.0.0.1:{port}/v1") as client:
        yield client


class Listener:
    """Hears all that comes on a connection of OpenAI's SDK, to its end: it closes only then."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.failure: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        """The first error among the events, or the close, whatever comes first."""
        self.task = asyncio.create_task(self._listen())

    def _tell(self, failure: Failure) -> None:
        if not self.failure.done():
            self.failure.set_result(failure)

    async def _listen(self) -> None:
        try:
            while True:
                event = await self._connection.recv()
                if event.type == "error":
                    self._tell({"parsed": type(event).__name__, **event.error.model_dump()})
                if event.type == "session.closed":
                    self._tell({"parsed": type(event).__name__, "reason": event.reason})
        except ConnectionClosed as closed:
            told = closed.rcvd
            self._tell({} if told is None else {"close": told.code, "reason": told.reason})


async def openai_realtime(faults: Faults) -> Failure:
    """OpenAI's own."""
    service = realtime.OpenAIRealtimeEmulator(brain, faults=[faults])
    return await _realtime_failure(service, realtime.KEY, realtime.MODELS[0])


async def grok(faults: Faults) -> Failure:
    """xAI has none, and names OpenAI's."""
    service = xai.GrokEmulator(brain, faults=[faults])
    return await _realtime_failure(service, xai.KEY, xai.MODELS[0])


async def _realtime_failure(
    service: realtime.OpenAIRealtimeEmulator | xai.GrokEmulator, key: str, model: str
) -> Failure:
    """What OpenAI's client is told after a word, over the protocol that both services speak."""
    async with (
        service.serving(),
        openai(service.port, key) as client,
        client.realtime.connect(model=model) as connection,
    ):
        sound = base64.b64encode(said("hello", 24000)).decode()
        listener = Listener(connection)
        await connection.input_audio_buffer.append(audio=sound)
        seen = await listener.failure
    await listener.task
    return seen


async def openai_live(faults: Faults) -> Failure:
    """OpenAI's own."""
    service = live.OpenAILiveEmulator(brain, faults=[faults])
    async with (
        service.serving(),
        openai(service.port, live.KEY) as client,
        client.live.connect() as connection,
    ):
        await connection.session.start(session={"model": live.MODELS[0]})
        sound = base64.b64encode(said("hello", 24000) + silence(900, rate=24000)).decode()
        listener = Listener(connection)
        await connection.session.input_audio.append(audio=sound)
        seen = await listener.failure
    await listener.task
    return seen


@cache
def _tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server that has a certificate, and a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    return server, trusting


@asynccontextmanager
async def google(service: gemini.GeminiLiveEmulator) -> AsyncGenerator[genai.Client]:
    """Google's client, aimed at a service that it serves for that."""
    server, trusting = _tls()
    async with service.serving("127.0.0.1", 0, ssl=server) as url:
        options = types.HttpOptions(
            base_url=url.replace("wss", "https"), async_client_args={"ssl": trusting}
        )
        yield genai.Client(api_key=gemini.API_KEY, http_options=options)


async def gemini_live(faults: Faults) -> Failure:
    """Google's own."""
    service = gemini.GeminiLiveEmulator(brain, faults=[faults], holds_turns=False)
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    async with (
        google(service) as client,
        client.aio.live.connect(model="gemini-3.8-live", config=config) as session,
    ):
        await session.send_realtime_input(text="hello")
        try:
            while True:
                async for _ in session.receive():
                    pass
        except errors.APIError as error:
            return {"close": error.code, "reason": str(error)}


NOVA_TLS = nova.certificate()
LPCM = {
    "mediaType": "audio/lpcm",
    "sampleSizeBits": 16,
    "channelCount": 1,
    "audioType": "SPEECH",
    "encoding": "base64",
}
PROMPT = {"promptName": "p"}
MIC = {**PROMPT, "contentName": "mic"}


def nova_events(text: str) -> list[dict[str, Any]]:
    """A session that says that."""
    sound = base64.b64encode(said(text, 16000)).decode()
    spoken = {**LPCM, "sampleRateHertz": 24000, "voiceId": "tiffany"}
    start = {**PROMPT, "textOutputConfiguration": {"mediaType": "text/plain"}}
    heard = {**LPCM, "sampleRateHertz": 16000}
    kind = {"type": "AUDIO", "interactive": True, "role": "USER"}
    return [
        {"sessionStart": {"inferenceConfiguration": {}}},
        {"promptStart": {**start, "audioOutputConfiguration": spoken}},
        {"contentStart": {**MIC, **kind, "audioInputConfiguration": heard}},
        {"audioInput": {**MIC, "content": sound}},
    ]


async def nova_sonic(faults: Faults) -> Failure:
    """Amazon's own; the issuer of the certificate has to be in `SSL_CERT_FILE`."""
    service = nova.NovaSonicEmulator(brain, faults=[faults], silence_ms=300)
    async with service.serving(ssl=NOVA_TLS[0]):
        config = await AsyncBedrockRuntimeConfig.resolve(
            region="us-east-1",
            endpoint_uri=service.url,
            aws_access_key_id=nova.ACCESS_KEY,
            aws_secret_access_key=nova.SECRET_KEY,
            transport=AWSCRTHTTPClient(),
            max_attempts=1,
        )
        async with AsyncBedrockRuntimeClient(config=config) as client:
            stream = await client.invoke_model_with_bidirectional_stream(
                InvokeModelWithBidirectionalStreamOperationInput(model_id=nova.MODELS[0])
            )
            for event in nova_events("hello"):
                part = BidirectionalInputPayloadPart(bytes_=json.dumps({"event": event}).encode())
                chunk = InvokeModelWithBidirectionalStreamInputChunk(value=part)
                await stream.input_stream.send(chunk)
            try:
                _, received = await stream.await_output()
                while await received.receive() is not None:
                    pass
            except Exception as error:  # each has a class of its own, or none
                later = getattr(error, "retry_after", None)
                return {"raised": type(error).__name__, "text": str(error), "later": later}
    return {}


class Ears(AsyncAudioInterface):
    """A loudspeaker that nobody hears, and a microphone that somebody holds."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def start(self, input_callback: Callable[[bytes], Awaitable[None]]) -> None:
        self.begun.set()

    async def stop(self) -> None:
        pass

    async def output(self, audio: bytes) -> None:
        pass

    async def interrupt(self) -> None:
        pass


async def elevenlabs(faults: Faults) -> Failure:
    """ElevenLabs' own. It keeps errors to itself, and tells the close."""
    ears, ended = Ears(), asyncio.get_running_loop().create_future()
    heard: list[str] = []

    async def end(details: Any) -> None:
        if not ended.done():
            ended.set_result({"close": details.close_code, "reason": details.close_reason})

    async def agent(text: str) -> None:
        heard.append(text)
        if not ended.done() and not faults.drop_after_audio_ms:
            ended.set_result({"heard": text})

    service = agents.ElevenLabsAgentsEmulator(brain, faults=[faults])
    async with service.serving():
        client = ElevenLabs(api_key=agents.KEY, base_url=service.url.replace("ws", "http", 1))
        talk = AsyncConversation(
            client,
            agents.AGENT,
            requires_auth=True,
            audio_interface=ears,
            callback_disconnect=end,
            callback_agent_response=agent,
        )
        await talk.start_session()
        await ears.begun.wait()
        await talk.send_user_message("hello")
        told: Failure = await ended
        await talk.end_session()
        await talk.wait_for_session_end()
    return told


SDKS: dict[str, Callable[[Faults], Awaitable[Failure]]] = {
    "elevenlabs": elevenlabs,
    "gemini_live": gemini_live,
    "grok": grok,
    "nova_sonic": nova_sonic,
    "openai_live": openai_live,
    "openai_realtime": openai_realtime,
}
