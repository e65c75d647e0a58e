"""The vendors' own SDKs, unmodified, post recordings to the emulated services on real sockets."""

import asyncio
import json
import warnings

import httpx
import pytest
from elevenlabs.client import AsyncElevenLabs
from elevenlabs.core.api_error import ApiError as ElevenLabsError
from elevenlabs.types import SpeechToTextChunkResponseModel

import beluga_voice
from beluga_voice.audio.wav import write_wav
from beluga_voice.providers.stt.deepgram import DeepgramFiles
from beluga_voice.providers.stt.elevenlabs import ScribeFiles
from beluga_voice.testing.emulators import deepgram_files, elevenlabs_files
from beluga_voice.testing.speech import pcm_of, speech

with warnings.catch_warnings():
    # The SDK asks websockets for names that are going away.
    warnings.simplefilter("ignore", DeprecationWarning)
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError as DeepgramError
    from deepgram.environment import DeepgramClientEnvironment
    from deepgram.types import ListenV1Response

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

FILE = write_wav(None, pcm_of(speech("one two")), 16000)


def run(scene):
    """Run a scene on real sockets, for at most ten seconds."""

    async def limited():
        async with asyncio.timeout(10):
            return await scene()

    return asyncio.run(limited())


async def by_deepgram(service, key=deepgram_files.KEY, **wanted):
    """What the vendor's client makes of a file."""
    url = service.url
    environment = DeepgramClientEnvironment(base=url, production=url, agent=url, agent_rest=url)
    async with httpx.AsyncClient() as http:
        client = AsyncDeepgramClient(api_key=key, environment=environment, httpx_client=http)
        return await client.listen.v1.media.transcribe_file(request=FILE, **wanted)


async def by_elevenlabs(service, **wanted):
    """What the vendor's client makes of a file."""
    async with httpx.AsyncClient() as http:
        key = elevenlabs_files.KEY
        client = AsyncElevenLabs(api_key=key, base_url=service.url, httpx_client=http)
        return await client.speech_to_text.convert(file=("a.wav", FILE), **wanted)


def test_deepgrams_client_posts_a_file():
    """It reads the answer into its own types, and nothing in it is unknown to them."""

    async def scene():
        async with deepgram_files.DeepgramFilesEmulator().serving() as service:
            return await by_deepgram(service, model="nova-3", punctuate=True)

    found = run(scene)
    assert isinstance(found, ListenV1Response)
    assert not found.model_extra
    (reading,) = found.results.channels[0].alternatives
    assert reading.transcript == "one two"
    assert [word.word for word in reading.words] == ["one", "two"]


def test_deepgrams_client_is_told_of_a_wrong_key():
    """As an error with the status."""

    async def scene():
        async with deepgram_files.DeepgramFilesEmulator().serving() as service:
            await by_deepgram(service, key="wrong", model="nova-3")

    with pytest.raises(DeepgramError) as caught:
        run(scene)
    assert caught.value.status_code == 401


def test_elevenlabs_client_posts_a_file():
    """It reads the answer into its own types, and nothing in it is unknown to them."""

    async def scene():
        async with elevenlabs_files.ScribeFilesEmulator().serving() as service:
            return await by_elevenlabs(service, model_id="scribe_v2", timestamps_granularity="word")

    found = run(scene)
    assert isinstance(found, SpeechToTextChunkResponseModel)
    assert not found.model_extra
    assert found.text == "one two"
    assert [word.text for word in found.words] == ["one", " ", "two"]


def test_elevenlabs_client_is_told_of_a_model_that_is_not_offered():
    """As an error with the status."""

    async def scene():
        async with elevenlabs_files.ScribeFilesEmulator().serving() as service:
            await by_elevenlabs(service, model_id="scribe_v9")

    with pytest.raises(ElevenLabsError) as caught:
        run(scene)
    assert caught.value.status_code == 400


@pytest.mark.parametrize(
    ("make", "emulator", "answer"),
    [
        (
            lambda url: DeepgramFiles(api_key=deepgram_files.KEY, endpoint=url),
            deepgram_files.DeepgramFilesEmulator,
            ListenV1Response,
        ),
        (
            lambda url: ScribeFiles(api_key=elevenlabs_files.KEY, endpoint=url),
            elevenlabs_files.ScribeFilesEmulator,
            SpeechToTextChunkResponseModel,
        ),
    ],
    ids=["deepgram", "elevenlabs"],
)
def test_our_own_client_is_answered_as_the_vendors_types_have_it(make, emulator, answer):
    """On a real connection; each answer is one of the vendor's, strictly read."""

    async def scene():
        async with emulator().serving() as service:
            handle = beluga_voice.stt(make(service.url), wants_words=True)
            found = await handle.transcribe(pcm_of(speech("one two")), rate=16000)
            return found, service.posted[0].answer

    found, body = run(scene)
    assert found.text == "one two"
    assert len(found.words) == 2
    answer.model_validate_json(json.dumps(body))
