"""What tests of faults share: one recognition, one speech, and one turn, told with their times."""

import asyncio

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    EndUserTurn,
    FinishSpeech,
    FinishUtterance,
    InputTranscript,
    LinkClosed,
    LinkReady,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    SendAudio,
    SpeakText,
    SpeechAudio,
    StartUserTurn,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, SttOptions, TtsOptions
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import pcm_of, speech, words_in

FRAME = len(speech("a", rate=24000)[0].frames[0])
"""Bytes of 20 ms."""


def frames(text, rate=16000):
    """Speech, piece by piece."""
    return [frame for word in speech(text, rate=rate) for frame in word.frames]


class Told:
    """The events of a link, each with the millisecond in which it came."""

    def __init__(self):
        self.all = []

    def take(self, event):
        """The next."""
        self.all.append((running_simulation().time_ms(), event))

    def of(self, kind):
        """Those of a kind."""
        return [event for _, event in self.all if isinstance(event, kind)]

    def times(self, kind):
        """When those of a kind came."""
        return [at for at, event in self.all if isinstance(event, kind)]

    @property
    def kinds(self):
        """The names, in order, each run of one kind told once."""
        names = [type(event).__name__ for _, event in self.all]
        return [name for before, name in zip(["", *names], names, strict=False) if name != before]

    @property
    def sound(self):
        """All of it."""
        return b"".join(one.pcm for one in self.of(SpeechAudio) + self.of(ResponseAudio))

    @property
    def words(self):
        """Those whose sound came whole."""
        return " ".join(words_in(self.sound))


async def speak(provider, text="alpha bravo", wait=1.0):
    """Let a voice speak; gives what it told."""
    told = Told()
    async with provider.connect(TtsOptions()) as link:
        link.attach(told.take)
        link.send(SpeakText(context_id="c", text=text))
        link.send(FinishSpeech(context_id="c"))
        await asyncio.sleep(wait)
    return told


async def recognise(provider, *texts, pause=1.0):
    """Say things, a frame every 20 ms; gives what a recogniser told."""
    told = Told()
    async with provider.connect(SttOptions()) as link:
        link.attach(told.take)
        for number, text in enumerate(texts, start=1):
            for frame in frames(text):
                link.send(SendAudio(pcm=frame))
                await asyncio.sleep(0.02)
            link.send(FinishUtterance(utterance_id=f"u{number}"))
            await asyncio.sleep(pause)
    return told


async def serve(link):
    """A service that answers one turn with two words, a piece every 20 ms."""
    link.emit(LinkReady())
    while True:
        await link.expect(StartUserTurn)
        await link.expect(EndUserTurn)
        link.emit(
            InputTranscript(utterance_id="u1", text="hello", is_final=True),
            ResponseStarted(response_id="r1"),
            ResponseText(response_id="r1", delta="alpha bravo", start=0, end=9600),
        )
        for frame in frames("alpha bravo", rate=24000):
            link.emit(ResponseAudio(response_id="r1", pcm=frame))
            await asyncio.sleep(0.02)
        link.emit(ResponseDone(response_id="r1", status=ResponseStatus.COMPLETED))


def service(script=serve):
    """A service of that kind, or one that follows another script."""
    able = Capabilities(output_formats=(pcm16(24000),), input_formats=(pcm16(16000),))
    return ScriptedProvider(*[script] * 9, name="service", capabilities=able)


async def converse(provider, wait=1.0, during=None):
    """Take one turn of 100 ms; gives what the service told."""
    told = Told()
    async with provider.connect(S2sOptions()) as link:
        link.attach(told.take)
        link.send(StartUserTurn())
        link.send(SendAudio(pcm=pcm_of(speech("hello"))))
        await asyncio.sleep(0.1)
        link.send(EndUserTurn())
        if during is not None:
            await during(link)
        await asyncio.sleep(wait)
    return told


def run(make, provider, *arguments, **settings):
    """One of these, in simulated time."""

    async def scene():
        return await make(provider, *arguments, **settings)

    return simulate(scene)


def voice(**settings):
    """A voice that begins after 30 ms."""
    return ScriptedTts(delay_ms=30, **settings)


def ears(**settings):
    """A recogniser that takes 50 ms."""
    return ScriptedStt(delay_ms=50, **settings)


def closed(told):
    """How it ended, and when."""
    at, event = told.all[-1]
    assert isinstance(event, LinkClosed)
    return at, event.is_clean, event.code
