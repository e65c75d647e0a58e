# /// script
# requires-python = ">=3.12"
# dependencies = ["pipecat-ai[google,openai]>=1.14"]
#
# [tool.uv]
# # What a resampler and a command of a dependency need, neither of which is used: 190 MB, and a
# # package that is not to be had built.
# override-dependencies = [
#     "docopt; sys_platform == 'never'",
#     "numba; sys_platform == 'never'",
#     "resampy; sys_platform == 'never'",
# ]
# ///
"""A conversation held by a Pipecat pipeline with a speech-to-speech service in it.

    pipecat_program.py openai|gemini ENDPOINT KEY QUESTION.wav

Lets the service greet, speaks the file (mono, 16 bit) to it, lets the framework run the tool that
the service calls, and prints as JSON what came of it.
"""

import asyncio
import base64
import json
import sys
import wave
from typing import Any

from google.genai.types import HttpOptions
from loguru import logger
from pipecat.frames.frames import (
    FunctionCallResultFrame,
    InputAudioRawFrame,
    LLMFullResponseEndFrame,
    LLMRunFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.google.gemini_live.llm import GeminiLiveLLMService
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.openai.realtime.events import (
    AudioConfiguration,
    AudioInput,
    InputAudioTranscription,
    SessionProperties,
)
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService
from pipecat.workers.runner import WorkerRunner

INSTRUCTIONS = "Answer briefly."
GREETING = "hello"
asked: list[str] = []


async def weather(params: FunctionCallParams, city: str) -> None:
    """How the weather is in a city.

    Args:
        city: The city.
    """
    asked.append(city)
    await params.result_callback("minus 5")


class Watcher(BaseObserver):
    """Keeps what the service gives; speaks once it has greeted, and ends once it has answered."""

    def __init__(self, service: LLMService, path: str) -> None:
        super().__init__()
        self._service = service
        self._path = path
        self.worker: PipelineWorker | None = None
        self.said: list[str] = []
        self.words: list[str] = []
        self.heard = b""
        self.results: list[str] = []
        self.is_answered = False
        self._has_asked = False

    async def on_push_frame(self, data: FramePushed) -> None:
        """Look at what the service gives to the pipeline."""
        if data.source is not self._service or self.worker is None:
            return
        match data.frame:
            case TranscriptionFrame(text=text):
                self.said.append(text)
            case TTSTextFrame(text=text):
                self.words.append(text.strip())
            case TTSAudioRawFrame(audio=pcm):
                self.heard += pcm
                self.is_answered = bool(self.results)
            case FunctionCallResultFrame(result=result):
                if data.direction is FrameDirection.DOWNSTREAM:
                    self.results.append(result)
            case LLMFullResponseEndFrame() if not self._has_asked:
                self._has_asked = True
                await self._speak(self.worker)
            case LLMFullResponseEndFrame() if self.is_answered:
                await self.worker.stop_when_done()
            case _:
                pass

    async def _speak(self, worker: PipelineWorker) -> None:
        with wave.open(self._path) as file:
            rate = file.getframerate()
            while pcm := file.readframes(rate // 50):
                frame = InputAudioRawFrame(audio=pcm, sample_rate=rate, num_channels=1)
                await worker.queue_frame(frame)


def service_of(name: str, endpoint: str, key: str) -> LLMService:
    """The framework's service of that name."""
    if name == "openai":
        hearing = AudioInput(transcription=InputAudioTranscription())
        return OpenAIRealtimeLLMService(
            api_key=key,
            base_url=endpoint,
            settings=OpenAIRealtimeLLMService.Settings(
                system_instruction=INSTRUCTIONS,
                session_properties=SessionProperties(audio=AudioConfiguration(input=hearing)),
            ),
        )
    return GeminiLiveLLMService(
        api_key=key,
        http_options=HttpOptions(base_url=endpoint),
        settings=GeminiLiveLLMService.Settings(system_instruction=INSTRUCTIONS),
    )


async def talk(service: LLMService, path: str) -> dict[str, Any]:
    """Speak, and listen until the service has answered with what the tool gave."""
    context = LLMContext([{"role": "user", "content": GREETING}], tools=[weather])
    aggregators = LLMContextAggregatorPair(context)
    watcher = Watcher(service, path)
    with wave.open(path) as file:
        rate = file.getframerate()
    watcher.worker = worker = PipelineWorker(
        Pipeline([aggregators.user(), service, aggregators.assistant()]),
        params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=24000),
        observers=[watcher],
        enable_rtvi=False,
    )
    await worker.queue_frame(LLMRunFrame())
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    if not watcher.is_answered:
        raise RuntimeError("there was no answer")
    return {
        "transcript": " ".join(watcher.said),
        "response": " ".join(watcher.words),
        "audio": base64.b64encode(watcher.heard).decode(),
        "tool": {"asked": asked, "results": watcher.results},
    }


def main() -> None:
    """Talk, and print."""
    name, endpoint, key, path = sys.argv[1:]
    logger.remove()
    logger.add(sys.stderr, level="WARNING")

    async def limited() -> dict[str, Any]:
        async with asyncio.timeout(30):
            return await talk(service_of(name, endpoint, key), path)

    print(json.dumps(asyncio.run(limited())))


if __name__ == "__main__":
    main()
