"""A stage for AssemblyAI: the emulated service, a link to it, events with their times."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from assemblyai.streaming.v3 import models
from assemblyai.streaming.v3._base import _BaseStreamingClient

from beluga_voice.events import FinishUtterance, SendAudio, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.assemblyai import AssemblyAi
from beluga_voice.testing.emulators.assemblyai_stt import KEY, AssemblyAiEmulator
from beluga_voice.testing.speech import silence, speech

HOST, PORT = "aai.example.com", 80
PLAIN = "universal-streaming-english"
_CLIENT = {
    "ForceEndpoint": models.ForceEndpoint,
    "Terminate": models.TerminateSession,
}


def provider(**settings):
    """A provider for the emulated service."""
    return AssemblyAi(**{"api_key": KEY, "endpoint": f"ws://{HOST}", **settings})


def check_frames(service):
    """Every message of both sides is one by the models of the official SDK."""
    for session in service.sessions:
        for message in session.sent:
            assert _BaseStreamingClient._parse_message(message) is not None
        for message in session.received:
            _CLIENT[message["type"]].model_validate(message)


@dataclass
class Desk:
    """A link, and what came over it, each event with its milliseconds of the loop's clock."""

    link: Any
    service: AssemblyAiEmulator
    told: list = field(default_factory=list)

    @property
    def remote(self):
        """The service's side."""
        return self.service.sessions[-1]

    def hear(self, event):
        self.told.append((round(asyncio.get_running_loop().time() * 1000, 3), event))

    def of(self, kind):
        return [event for _, event in self.told if isinstance(event, kind)]

    async def say(self, text, quiet_ms=0):
        """Words and a silence, at the pace of speech."""
        frames = [frame for word in speech(text) for frame in word.frames]
        frames += [silence(20)] * (quiet_ms // 20)
        for frame in frames:
            self.link.send(SendAudio(pcm=frame))
            await asyncio.sleep(0.02)

    def finish(self, name):
        self.link.send(FinishUtterance(utterance_id=UtteranceId(name)))

    @property
    def finals(self):
        """Name, words, and when."""
        return [
            (event.utterance_id, event.text, at)
            for at, event in self.told
            if isinstance(event, Transcript) and event.is_final
        ]


@asynccontextmanager
async def desk(service=None, options=None, **settings):
    """A link to the emulated service."""
    service = service or AssemblyAiEmulator()
    async with (
        service.serving(HOST, PORT),
        provider(**settings).connect(options or SttOptions()) as link,
    ):
        at = Desk(link, service)
        link.attach(at.hear)
        yield at
    check_frames(service)
