"""Connecting to each hosted recogniser and voice: keys, addresses, and machines without a word."""

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from beluga_voice.errors import Denied, ProviderError, Unreachable
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.providers.stt.cartesia import CartesiaStt
from beluga_voice.providers.stt.deepgram import Deepgram, DeepgramFiles
from beluga_voice.providers.stt.elevenlabs import Scribe, ScribeFiles
from beluga_voice.providers.stt.openai import OpenAIStt
from beluga_voice.providers.tts.cartesia import Cartesia
from beluga_voice.providers.tts.deepgram import DeepgramTts
from beluga_voice.providers.tts.elevenlabs import ElevenLabs
from beluga_voice.providers.tts.openai import OpenAITts
from beluga_voice.testing.emulators import (
    assemblyai_stt,
    cartesia_stt,
    cartesia_tts,
    deepgram,
    elevenlabs_speech,
    elevenlabs_stt,
    elevenlabs_tts,
    openai_http,
    openai_stt,
)
from beluga_voice.testing.loop import running_simulation, simulate

HOST, PORT = "speech.example.com", 80
WEBSOCKET, WEB = f"ws://{HOST}:{PORT}", f"http://{HOST}:{PORT}"


@dataclass(frozen=True)
class Row:
    """A provider, and the emulated service that it is for."""

    kind: Any
    options: Any
    endpoint: str
    variable: str
    emulator: Any
    key: str
    model: str | None = None
    asks_at_once: bool = True
    """Whether connecting touches the network."""

    def made(self, **settings: Any) -> Any:
        model = {} if self.model is None else {"model": self.model}
        return self.kind(**{"endpoint": self.endpoint, **model, **settings})


def gateway(**settings: Any) -> Any:
    return openai_stt.OpenAISttEmulator(is_gateway=True, **settings)


DEEPGRAM = ("DEEPGRAM_API_KEY", deepgram.DeepgramEmulator, deepgram.KEY)
ELEVENLABS, CARTESIA = "ELEVENLABS_API_KEY", "CARTESIA_API_KEY"
ROWS = {
    "deepgram nova": Row(Deepgram, SttOptions(), WEBSOCKET, *DEEPGRAM, "nova-3"),
    "deepgram flux": Row(Deepgram, SttOptions(), WEBSOCKET, *DEEPGRAM, "flux-general-en"),
    "deepgram files": Row(DeepgramFiles, SttOptions(), WEB, *DEEPGRAM, asks_at_once=False),
    "deepgram aura": Row(DeepgramTts, TtsOptions(), WEBSOCKET, *DEEPGRAM),
    "cartesia turns": Row(
        *(CartesiaStt, SttOptions(), WEBSOCKET, CARTESIA),
        *(cartesia_stt.CartesiaSttEmulator, cartesia_stt.KEY, "ink-2"),
    ),
    "cartesia manual": Row(
        *(CartesiaStt, SttOptions(), WEBSOCKET, CARTESIA),
        *(cartesia_stt.CartesiaSttEmulator, cartesia_stt.KEY, "ink-whisper"),
    ),
    "cartesia sonic": Row(
        *(Cartesia, TtsOptions(), WEBSOCKET, CARTESIA),
        *(cartesia_tts.CartesiaTtsEmulator, cartesia_tts.KEY),
    ),
    "elevenlabs scribe": Row(
        *(Scribe, SttOptions(), WEBSOCKET, ELEVENLABS),
        *(elevenlabs_stt.ScribeEmulator, elevenlabs_speech.KEY),
    ),
    "elevenlabs files": Row(
        *(ScribeFiles, SttOptions(), WEB, ELEVENLABS),
        *(elevenlabs_stt.ScribeEmulator, elevenlabs_speech.KEY),
        asks_at_once=False,
    ),
    "elevenlabs voices": Row(
        *(ElevenLabs, TtsOptions(), WEBSOCKET, ELEVENLABS),
        *(elevenlabs_tts.ElevenLabsTtsEmulator, elevenlabs_speech.KEY),
    ),
    "openai live": Row(
        *(OpenAIStt, SttOptions(), f"{WEBSOCKET}/v1", "OPENAI_API_KEY"),
        *(gateway, openai_stt.KEY),
    ),
    "openai posted": Row(
        *(OpenAIStt, SttOptions(), f"{WEB}/v1", "OPENAI_API_KEY"),
        *(openai_http.OpenAIHttpEmulator, openai_http.KEY, "gpt-transcribe"),
    ),
    "openai speech": Row(
        *(OpenAITts, TtsOptions(), f"{WEB}/v1", "OPENAI_API_KEY"),
        *(openai_http.OpenAIHttpEmulator, openai_http.KEY),
    ),
    "assemblyai": Row(
        *(AssemblyAi, SttOptions(), WEBSOCKET, "ASSEMBLYAI_API_KEY"),
        *(assemblyai_stt.AssemblyAiEmulator, assemblyai_stt.KEY),
    ),
}
every_provider = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
every_asking = pytest.mark.parametrize(
    "row",
    [row for row in ROWS.values() if row.asks_at_once],
    ids=[name for name, row in ROWS.items() if row.asks_at_once],
)


async def failing(row: Row, **settings: Any) -> tuple[ProviderError, float]:
    """What connecting raises, and after how many seconds."""
    settings.setdefault("api_key", row.key)
    began = running_simulation().time()
    with pytest.raises(ProviderError) as caught:
        async with row.made(**settings).connect(row.options):
            pass
    return caught.value, round(running_simulation().time() - began, 6)


@every_provider
def test_without_a_key_nothing_is_tried(row, monkeypatch):
    """The error says which variable to set."""
    monkeypatch.delenv(row.variable, raising=False)
    error, seconds = simulate(lambda: failing(row, api_key=""))
    assert type(error) is Denied
    assert row.variable in str(error)
    assert seconds == 0


@every_provider
def test_the_key_may_come_from_the_environment(row, monkeypatch):
    """It is read when connecting, so that it may be set late."""
    late = row.made()
    monkeypatch.setenv(row.variable, row.key)

    async def scene():
        async with row.emulator().serving(HOST, PORT), late.connect(row.options):
            return True

    assert simulate(scene)


@every_asking
def test_a_wrong_key_is_denied_and_not_quoted(row):
    """Some services quote it; neither the error nor what it came from does."""

    async def scene():
        async with row.emulator().serving(HOST, PORT):
            return await failing(row, api_key="sk-guessed-secret")

    error, seconds = simulate(scene)
    assert type(error) is Denied
    assert (error.provider, seconds) == (row.made().name, 0)
    assert "guessed" not in f"{error} {error!r} {error.__cause__!r}"


@every_asking
def test_nobody_at_the_address_is_unreachable(row):
    """A refused connection is told at once, and may be tried again."""
    error, seconds = simulate(lambda: failing(row))
    assert type(error) is Unreachable
    assert "that the service runs there" in str(error)
    assert (error.is_retryable, seconds) == (True, 0)


@every_asking
def test_a_machine_that_does_not_answer_is_given_up_in_time(row):
    """Nothing comes back from there, not even a refusal."""

    async def scene():
        running_simulation().network.black_hole(HOST, PORT)
        return await failing(row, connect_seconds=2)

    error, seconds = simulate(scene)
    assert type(error) is Unreachable
    assert seconds == 2


@every_asking
def test_a_handshake_that_never_completes_is_given_up_in_time(row):
    """Somebody takes the connection, and says nothing."""

    async def scene():
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(hold, HOST, PORT):
            return await failing(row, connect_seconds=2)

    error, seconds = simulate(scene)
    assert type(error) is Unreachable
    assert "did not answer within 2 s; check the network" in str(error)
    assert seconds == 2
