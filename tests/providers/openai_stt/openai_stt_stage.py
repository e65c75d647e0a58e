"""A stage for OpenAI's transcription: emulated services, links to them, events with their times."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import TypeAdapter

from beluga_voice.events import FinishUtterance, SendAudio, Transcript, UtteranceId
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.stt.openai import OpenAIStt
from beluga_voice.testing.emulators.openai_http import OpenAIHttpEmulator
from beluga_voice.testing.emulators.openai_stt import KEY, OpenAISttEmulator
from beluga_voice.testing.speech import pcm_of, speech

HOST, PORT = "words.example.com", 80
BASE = f"http://{HOST}/v1"

SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)


def live(**settings):
    """A live provider for the emulated service."""
    return OpenAIStt(**{"api_key": KEY, "endpoint": BASE, "sends_model": False, **settings})


def posting(**settings):
    """A provider over REST for the emulated service."""
    return OpenAIStt(**{"model": "gpt-transcribe", "api_key": KEY, "endpoint": BASE, **settings})


def check_frames(service):
    """Every message of both sides is one by the models of the official SDK."""
    for session in service.sessions:
        for event in session.sent:
            SERVER_EVENT.validate_python(event)
        for event in session.received:
            CLIENT_EVENT.validate_python(event)


@dataclass
class Desk:
    """A link, and what came over it, each event with its milliseconds of the loop's clock."""

    link: Any
    service: Any
    rate: int
    told: list = field(default_factory=list)

    def hear(self, event):
        self.told.append((round(asyncio.get_running_loop().time() * 1000, 3), event))

    def of(self, kind):
        return [event for _, event in self.told if isinstance(event, kind)]

    def say(self, text):
        self.link.send(SendAudio(pcm=pcm_of(speech(text, rate=self.rate))))

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
async def desk(provider, service, rate, options=None):
    """A link to a service that runs."""
    async with service.serving(HOST, PORT), provider.connect(options or SttOptions()) as link:
        at = Desk(link, service, rate)
        link.attach(at.hear)
        yield at
    if isinstance(service, OpenAISttEmulator):
        check_frames(service)


def live_desk(service=None, options=None, **settings):
    """A live link."""
    return desk(live(**settings), service or OpenAISttEmulator(), 24000, options)


def posting_desk(service=None, options=None, **settings):
    """A link over REST."""
    return desk(posting(**settings), service or OpenAIHttpEmulator(), 16000, options)
