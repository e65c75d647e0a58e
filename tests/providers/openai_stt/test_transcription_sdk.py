"""The official SDK, unmodified, talks to the emulated services on real sockets."""

import asyncio
import base64
import io

import openai
import pytest

from beluga_voice.audio.wav import write_wav
from beluga_voice.testing.emulators.openai_http import OpenAIHttpEmulator
from beluga_voice.testing.emulators.openai_stt import KEY, OpenAISttEmulator
from beluga_voice.testing.speech import pcm_of, speech
from providers.openai_stt.openai_stt_stage import SERVER_EVENT, check_frames

WAV = write_wav(None, pcm_of(speech("hello there")), 16000)


def file(content=WAV, name="a.wav"):
    return (name, io.BytesIO(content), "audio/wav")


def test_a_live_transcription():
    """Words come before the commit, then the whole."""

    async def scene():
        service = OpenAISttEmulator()
        heard = {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": None}
        heard["transcription"] = {"model": "gpt-live-transcribe"}
        events = []
        async with (
            service.serving(),
            openai.AsyncOpenAI(api_key=KEY, base_url=service.base.replace("ws", "http")) as client,
            client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
        ):
            await connection.session.update(
                session={"type": "transcription", "audio": {"input": heard}}
            )
            pcm = pcm_of(speech("hello there", rate=24000))
            await connection.input_audio_buffer.append(audio=base64.b64encode(pcm).decode())
            await connection.input_audio_buffer.commit()
            while not events or not events[-1].type.endswith("completed"):
                events.append(await connection.recv())
                SERVER_EVENT.validate_python(events[-1].model_dump())
        check_frames(service)
        return events

    events = asyncio.run(scene())
    assert [one.type.rpartition(".")[2] for one in events] == [
        "created",
        "updated",
        "delta",
        "delta",
        "committed",
        "completed",
    ]
    assert events[-1].transcript == "hello there"


def test_a_posted_file():
    """Plain, with the times of words, and as a stream."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with (
            service.serving(),
            openai.AsyncOpenAI(api_key=KEY, base_url=service.url) as client,
        ):
            create = client.audio.transcriptions.create
            plain = await create(file=file(), model="gpt-transcribe", keywords=["hello"])
            verbose = await create(
                file=file(),
                model="whisper-1",
                response_format="verbose_json",
                timestamp_granularities=["word"],
            )
            stream = await create(file=file(), model="gpt-transcribe", stream=True)
            streamed = [event async for event in stream]
            found = await client.models.retrieve("whisper-1")
        return plain, verbose, streamed, found

    plain, verbose, streamed, found = asyncio.run(scene())
    assert (plain.text, plain.usage.seconds) == ("hello there", 0.4)
    assert [word.word for word in verbose.words] == ["hello", "there"]
    assert [one.type for one in streamed] == [
        *["transcript.text.delta"] * 2,
        "transcript.text.done",
    ]
    assert found.shutdown_date == "2027-02-26"


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [
        ({"model": "nobody"}, openai.NotFoundError),
        ({"file": file(name="a.txt")}, openai.BadRequestError),
        ({"file": file(b"no sound")}, openai.BadRequestError),
        ({"file": file(write_wav(None, bytes(200), 16000))}, openai.BadRequestError),
        ({"response_format": "verbose_json"}, openai.BadRequestError),
        ({"extra_body": {"unknown": "x"}}, openai.BadRequestError),
    ],
)
def test_the_service_is_as_strict_as_the_vendor(wanted, kind):
    """The SDK raises its own error for each."""

    async def scene():
        service = OpenAIHttpEmulator()
        async with (
            service.serving(),
            openai.AsyncOpenAI(api_key=KEY, base_url=service.url, max_retries=0) as client,
        ):
            with pytest.raises(kind):
                await client.audio.transcriptions.create(
                    **{"file": file(), "model": "gpt-transcribe", **wanted}
                )

    asyncio.run(scene())
