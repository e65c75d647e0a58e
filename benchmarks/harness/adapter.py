"""beluga-voice as a contestant of the comparison harness: a session over the cascade, with fakes.

The harness gives a fake detector, recogniser, model and voice, all without delay, and counts what
reaches its sink. Everything between is ours, as it is shipped: the session, the engine, the cascade
with its sentence cutter, and the speaker, which paces sound to a line that takes 200 ms ahead and
can be cleared, as the browser's does. `stripped` lets the line take any amount ahead.
"""

import asyncio
import importlib.metadata
import logging
from contextlib import asynccontextmanager

from beluga_voice.agents.functions import agent_of
from beluga_voice.audio.formats import pcm16
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import InterruptionPolicy, InterruptionSettings
from beluga_voice.engine.turns import TurnSettings
from beluga_voice.engine.voice import VoiceSettings
from beluga_voice.events import (
    CancelSpeech,
    ClearPlayback,
    FinishSpeech,
    FinishUtterance,
    PlayAudio,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    Transcript,
)
from beluga_voice.interfaces import Capabilities, LineOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.server.app import tune_garbage_collector
from beluga_voice.session.session import Session as VoiceSession
from beluga_voice.transports.feed import Feed

INFO = {
    "name": "beluga",
    "version": importlib.metadata.version("beluga-voice"),
    "variants": ["default", "stripped"],
}

HOPS = [(Feed, "put")]


def setup_process(variant: str) -> None:
    """Quiet, as the other contestants are, and with the collector set as our server sets it."""
    logging.getLogger().setLevel(logging.ERROR)
    tune_garbage_collector()


class _Detector:
    rate = 16000
    frame_samples = 320

    def __init__(self, probe) -> None:
        self._probe = probe
        self._probability = 0.0

    def process(self, frame: bytes) -> float:
        change = self._probe.vad(frame)
        if change:
            self._probability = 1.0 if change > 0 else 0.0
        return self._probability

    def reset(self) -> None:
        pass


class _Recogniser:
    name = "fake"
    capabilities = Capabilities(is_local=True, needs_continuous_input=True)

    def __init__(self, probe) -> None:
        self._probe = probe

    @asynccontextmanager
    async def connect(self, options):
        self._feed = Feed()
        self._text = ""
        self._wanted = None
        yield self

    def attach(self, deliver) -> None:
        self._feed.attach(deliver)

    def send(self, command) -> None:
        if type(command) is SendAudio:
            text = self._probe.stt(command.pcm)
            if text is not None:
                self._text = text
                self._give()
        elif type(command) is FinishUtterance:
            self._wanted = command.utterance_id
            self._give()

    def _give(self) -> None:
        if self._wanted is not None and self._text:
            wanted, text = self._wanted, self._text
            self._wanted, self._text = None, ""
            self._feed.put(Transcript(text=text, is_final=True, utterance_id=wanted))


class _Voice:
    name = "fake"
    capabilities = Capabilities(is_local=True, output_formats=(pcm16(24000),))

    def __init__(self, probe) -> None:
        self._probe = probe

    @asynccontextmanager
    async def connect(self, options):
        self._feed = Feed()
        self._tasks = {}
        try:
            yield self
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def attach(self, deliver) -> None:
        self._feed.attach(deliver)

    def send(self, command) -> None:
        match command:
            case SpeakText():
                self._tasks[command.context_id] = asyncio.create_task(
                    self._speak(command.context_id, command.text)
                )
            case FinishSpeech():
                task = self._tasks.get(command.context_id)
                if task is not None:
                    task.add_done_callback(lambda _: self._done(command.context_id))
            case CancelSpeech():
                task = self._tasks.pop(command.context_id, None)
                if task is not None:
                    task.cancel()

    async def _speak(self, context_id, text) -> None:
        async for chunk in self._probe.tts(text):
            self._feed.put(SpeechAudio(context_id=context_id, pcm=chunk))

    def _done(self, context_id) -> None:
        if self._tasks.pop(context_id, None) is not None:
            self._feed.put(SpeechDone(context_id=context_id))


class _Line:
    """The sink owns the last buffer, as a browser does; it can be cleared."""

    def __init__(self, sink, lead_ms: int) -> None:
        self.options = LineOptions(input_rate=16000, output_rate=24000, lead_ms=lead_ms)
        self._sink = sink

    def send(self, command) -> None:
        match command:
            case PlayAudio():
                self._sink.write(command.pcm)
            case ClearPlayback():
                self._sink.clear()


class Session:
    """What the harness drives."""

    def __init__(self, probe, sink, variant) -> None:
        async def model(text: str):
            async for token in probe.llm():
                yield token

        lead_ms = 600_000 if variant == "stripped" or sink.mode == "instant" else 200
        self._sink = sink
        self._session = VoiceSession(
            Cascade(_Recogniser(probe), agent_of(model), _Voice(probe)),
            line=_Line(sink, lead_ms),
            detector=_Detector(probe),
            voice=VoiceSettings(start_ms=0, stop_ms=0, preroll_ms=0),
            settings=EngineSettings(
                turns=TurnSettings(end_silence_ms=0),
                interruptions=InterruptionSettings(normal=InterruptionPolicy(min_ms=0)),
            ),
        )
        self.push = self._session.send_audio

    async def start(self) -> None:
        await self._session.__aenter__()

    async def close(self) -> None:
        await self._session.__aexit__(None, None, None)
        self._sink.close()
