"""ElevenLabs' own SDK, unmodified, against the emulated Scribe on real sockets, and its types."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any, get_args

import pytest
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.realtime import AudioFormat, CommitStrategy, RealtimeEvents
from elevenlabs.types.input_audio_chunk_payload import InputAudioChunkPayload
from elevenlabs.v_1_speech_to_text_realtime.types.receive_transcription import ReceiveTranscription
from pydantic import TypeAdapter

from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.elevenlabs.account import url_of
from beluga_voice.providers.stt.elevenlabs._wire import chunk
from beluga_voice.testing.emulators.elevenlabs_speech import KEY
from beluga_voice.testing.emulators.elevenlabs_stt import ScribeEmulator
from beluga_voice.testing.speech import pcm_of, silence, speech
from providers.elevenlabs_stt.scribe_stage import desk, play

KINDS = {
    kind.model_fields["message_type"].default: kind
    for kind in get_args(ReceiveTranscription)
    if kind.model_fields["message_type"].default is not None
}


def check_server_frame(frame: dict[str, Any]) -> None:
    """It is one of the vendor's messages, and holds nothing that the vendor does not know."""
    kind = KINDS[frame["message_type"]]
    read = TypeAdapter(kind).validate_python(frame, strict=True)
    assert read.model_extra == {}


class Ears:
    """What the SDK was told; it is waited for, never for a time."""

    def __init__(self, connection: Any) -> None:
        self.told: dict[str, list[Any]] = {}
        self._changed = asyncio.Event()
        for event in RealtimeEvents:
            connection.on(event, self._note(event.value))

    def _note(self, name: str) -> Callable[[Any], None]:
        def note(data: Any = None) -> None:
            self.told.setdefault(name, []).append(data)
            self._changed.set()

        return note

    async def until(self, name: str, count: int = 1) -> list[Any]:
        """Wait until so many of a kind came."""
        while len(self.told.get(name, [])) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.told[name]


def run(
    scene: Callable[[ScribeEmulator, AsyncElevenLabs], Awaitable[None]], key: str = KEY
) -> None:
    """Run a scene on real sockets, for at most ten seconds; every frame is checked."""
    service = ScribeEmulator()

    async def limited() -> None:
        async with asyncio.timeout(10), service.serving():
            client = AsyncElevenLabs(api_key=key, base_url=service.url.replace("ws", "http", 1))
            await scene(service, client)

    asyncio.run(limited())
    for session in service.sessions:
        for frame in session.sent:
            check_server_frame(frame)


def options(**more: Any) -> Any:
    """What the SDK is asked for."""
    return {
        "model_id": "scribe_v2_realtime",
        "audio_format": AudioFormat.PCM_16000,
        "sample_rate": 16000,
        **more,
    }


async def say(connection: Any, pcm: bytes) -> None:
    """Give the SDK sound."""
    for at in range(0, len(pcm), 6400):
        sound = base64.b64encode(pcm[at : at + 6400]).decode()
        await connection.send({"audio_base_64": sound})


def test_it_commits_by_itself() -> None:
    """The SDK gets the words while they come, and all of them when it commits, with times."""

    async def scene(service: ScribeEmulator, client: AsyncElevenLabs) -> None:
        connection = await client.speech_to_text.realtime.connect(options(include_timestamps=True))
        ears = Ears(connection)
        await say(connection, pcm_of(speech("hello there my friend")))
        await connection.commit()
        (timed,) = await ears.until("committed_transcript_with_timestamps")
        assert timed["text"] == "hello there my friend"
        assert [one["start"] for one in timed["words"] if one["type"] == "word"] == [
            0,
            0.2,
            0.4,
            0.6,
        ]
        assert ears.told["committed_transcript"][0]["text"] == "hello there my friend"
        assert ears.told["partial_transcript"][-1]["text"] == "hello there my friend"
        await connection.close()
        assert service.sessions[0].errors == []

    run(scene)


def test_the_service_commits() -> None:
    """With the strategy `vad` the words come after the silence that was asked for."""

    async def scene(service: ScribeEmulator, client: AsyncElevenLabs) -> None:
        connection = await client.speech_to_text.realtime.connect(
            options(commit_strategy=CommitStrategy.VAD, vad_silence_threshold_secs=0.4)
        )
        ears = Ears(connection)
        await say(connection, pcm_of(speech("hello there")) + silence(500))
        told = await ears.until("committed_transcript", 2)
        assert [one["text"] for one in told] == ["hello there", ""]
        await connection.close()

    run(scene)


def test_it_commits_too_early() -> None:
    """The SDK has no guard: the session ends with an error, as the vendor says."""

    async def scene(service: ScribeEmulator, client: AsyncElevenLabs) -> None:
        connection = await client.speech_to_text.realtime.connect(options())
        ears = Ears(connection)
        await say(connection, silence(200))
        await connection.commit()
        await ears.until("commit_throttled")
        (closed,) = await ears.until("close")
        assert closed["code"] == 1008

    run(scene)


def test_a_wrong_key() -> None:
    """The SDK is connected, and then told."""

    async def scene(service: ScribeEmulator, client: AsyncElevenLabs) -> None:
        ears = Ears(await client.speech_to_text.realtime.connect(options()))
        await ears.until("close")
        assert len(ears.told["auth_error"]) == 1

    run(scene, key="wrong")


@pytest.mark.parametrize("previous_text", ["", "So,"])
def test_our_messages_are_the_vendors(previous_text: str) -> None:
    """What we send is what the vendor's type takes, and nothing else."""
    message = chunk(b"\x01\x02", 16000, commit=True, previous_text=previous_text)
    read = InputAudioChunkPayload.model_validate_json(message, strict=True)
    assert read.model_extra == {}
    assert read.previous_text == (previous_text or None)


def test_our_conversation_is_the_vendors() -> None:
    """All that the service says to our provider is of the vendor's types."""

    async def scene() -> list[dict[str, Any]]:
        asked = SttOptions(wants_words=True)
        async with desk(options=asked, detects_language=True) as at:
            await at.say("hello there")
            at.finish("a")
            await asyncio.sleep(0.1)
            return at.remote.sent

    sent = play(scene)
    assert {frame["message_type"] for frame in sent} == {
        "session_started",
        "partial_transcript",
        "committed_transcript",
        "committed_transcript_with_timestamps",
    }
    for frame in sent:
        check_server_frame(frame)


def test_an_address_is_quoted() -> None:
    """What is put into a path or a query cannot become another part of it."""
    url = url_of("wss://host", ("v1", "a/b?c"), [("keyterms", "x&y=z")])
    assert url == "wss://host/v1/a%2Fb%3Fc?keyterms=x%26y%3Dz"
