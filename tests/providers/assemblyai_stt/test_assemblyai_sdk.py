"""The official SDK, unmodified, talks to the emulated service on real sockets."""

import asyncio

import pytest
from assemblyai.streaming.v3 import models
from assemblyai.streaming.v3.async_client import AsyncRealTimeTranscriber

from beluga_voice.events import FinishUtterance, SendAudio, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.testing.emulators.assemblyai_stt import KEY, AssemblyAiEmulator
from beluga_voice.testing.speech import pcm_of, speech
from providers.assemblyai_stt.assemblyai_stage import PLAIN


def client_of(service, key=KEY):
    """A client of the SDK, and everything it was told."""
    host = service.url.removesuffix("/v3/ws")
    options = models.RealTimeTranscriberOptions(api_host=host, api_key=key)
    client = AsyncRealTimeTranscriber(options)
    told = asyncio.Queue()
    for event in models.RealTimeEvents:
        client.on(event, lambda _, said: told.put_nowait(said))
    return client, told


@pytest.mark.parametrize(("model", "ends"), [(PLAIN, [False, True]), ("u3-rt-pro", [True])])
def test_a_turn_has_the_documented_order(model, ends):
    """Its end comes twice where it is formatted after, once where it is formatted at once."""

    async def scene():
        async with AssemblyAiEmulator().serving() as service:
            client, told = client_of(service)
            await client.connect(
                models.RealTimeParameters(
                    sample_rate=16000, speech_model=model, format_turns=True, keyterms_prompt=["x"]
                )
            )
            await client.stream(pcm_of(speech("hello there")))
            await client.force_endpoint()
            events = [await told.get() for _ in range(4 + len(ends))]
            await client.disconnect(terminate=True)
            events.append(await told.get())
            return events, service.sessions[0].is_terminated

    events, is_terminated = asyncio.run(scene())
    assert [one.type for one in events] == [
        "Begin",
        "SpeechStarted",
        *["Turn"] * (2 + len(ends)),
        "Termination",
    ]
    done = [one for one in events if one.type == "Turn" and one.end_of_turn]
    assert [one.turn_is_formatted for one in done] == ends
    assert {one.transcript for one in done} == {"hello there"}
    assert is_terminated


@pytest.mark.parametrize(("key", "sound", "code"), [("wrong", b"", 1008), (KEY, bytes(320), 3007)])
def test_the_service_is_as_strict_as_the_vendor(key, sound, code):
    """A wrong key, and a frame that is too short, are told as errors."""

    async def scene():
        async with AssemblyAiEmulator().serving() as service:
            client, told = client_of(service, key)
            await client.connect(
                models.RealTimeParameters(sample_rate=16000, speech_model="u3-rt-pro")
            )
            if sound:
                await client.stream(sound)
            said = await told.get()
            while not isinstance(said, Exception):
                said = await told.get()
            await client.disconnect()
            return said.code

    assert asyncio.run(scene()) == code


def test_it_works_on_real_sockets():
    """The same provider and the same service talk over loopback."""

    async def scene():
        async with AssemblyAiEmulator().serving() as service:
            made = AssemblyAi(api_key=KEY, endpoint=service.url)
            async with made.connect(SttOptions()) as link:
                link.send(SendAudio(pcm=pcm_of(speech("good morning"))))
                link.send(FinishUtterance(utterance_id=UtteranceId("a")))
                async for event in link:
                    if isinstance(event, Transcript) and event.is_final:
                        return event.text
        return None

    assert asyncio.run(scene()) == "good morning"
