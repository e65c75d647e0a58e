"""What the load generator says: sentences by eSpeak NG over a room's noise, then the room alone."""

import asyncio

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.resample import Resampler
from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechAudio, SpeechDone
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.tts.espeak import Espeak
from benchmarks.fakes import INPUT_RATE

SPEAK_SECONDS, LISTEN_SECONDS = 4, 4
ROOM_LEVEL = 24
"""The root mean square of the room's noise: 63 dB below full scale."""
SPEECH_PEAK = 12000

_SENTENCES = (
    "I ordered a blue jacket from your shop last week and I would like to change the size of it "
    "to a larger one if that is still possible before you send the parcel out to me",
    "could you tell me when the next train to the airport leaves this evening and whether I need "
    "to reserve a seat because I am travelling with my family and a lot of luggage today",
    "my internet connection has been very slow since yesterday morning and I have already turned "
    "the little white box off and on again so please tell me what else I should try",
    "please book a table for four people next friday at eight in the evening near the window if "
    "you can and one of us does not eat any meat or fish so we need something for her",
)


def cycles() -> list[bytes]:
    """Some conversations' side of the person: half speech, half the room, of equal length."""
    rng = np.random.default_rng(1)
    made = asyncio.run(_speak())
    return [_cycle(pcm, rng) for pcm in made]


def _cycle(pcm: bytes, rng: np.random.Generator) -> bytes:
    speech: NDArray[np.float64] = np.frombuffer(pcm, "<i2").astype(np.float64)
    loud = np.flatnonzero(np.abs(speech) > 300)
    speech = speech[loud[0] :][: SPEAK_SECONDS * INPUT_RATE]
    sound = rng.normal(0, ROOM_LEVEL, (SPEAK_SECONDS + LISTEN_SECONDS) * INPUT_RATE)
    sound[: len(speech)] += speech * (SPEECH_PEAK / np.abs(speech).max())
    return sound.clip(-32768, 32767).astype("<i2").tobytes()


async def _speak() -> list[bytes]:
    made: list[bytes] = []
    espeak = Espeak()
    rate = espeak.capabilities.output_formats[0].rate
    async with espeak.connect(TtsOptions()) as link:
        for sentence in _SENTENCES:
            context = ContextId(f"sentence-{len(made)}")
            link.send(SpeakText(context_id=context, text=sentence))
            link.send(FinishSpeech(context_id=context))
            made.append(b"")
        resamplers = [Resampler(rate, INPUT_RATE) for _ in made]
        done = 0
        async for event in link:
            match event:
                case SpeechAudio():
                    at = int(event.context_id.rpartition("-")[2])
                    made[at] += resamplers[at].feed(event.pcm)
                case SpeechDone():
                    done += 1
                case _:
                    pass
            if done == len(made):
                break
    return made
