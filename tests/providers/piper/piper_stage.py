"""Where Piper is tried: a voice made by hand, real processes, and time that nobody waits for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from beluga_voice.audio.formats import pcm16
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    LinkReady,
    SpeakText,
    SpeechAudio,
    SpeechDone,
)
from beluga_voice.interfaces import output_format_of
from beluga_voice.providers.tts.piper import Piper
from beluga_voice.testing.speech import pcm_of, speech
from providers.piper.hand_built_piper import RATE, symbols_in
from providers.worker_stage import kill

VOICE = "en_US-hand-built"
NATIVE_FORMAT = pcm16(RATE)
"""In which nothing is resampled."""
ONE, TWO = ContextId("one"), ContextId("two")


def piper(folder, **settings) -> Piper:
    """One that speaks with a voice in that folder."""
    return Piper(**{"voice": VOICE, "folder": folder, "threads": 1} | settings)


def say(link, *pieces: str, context: ContextId = ONE) -> None:
    """Give a context text, and end it."""
    for piece in pieces:
        link.send(SpeakText(context_id=context, text=piece))
    link.send(FinishSpeech(context_id=context))


async def until_done(events: AsyncIterator, context: ContextId = ONE) -> bytes:
    """The sound of a context, of which nothing else may come before."""
    pcm = bytearray()
    async for event in events:
        match event:
            case SpeechAudio():
                assert event.context_id == context
                pcm += event.pcm
            case SpeechDone():
                assert event.context_id == context
                return bytes(pcm)
            case _:
                assert isinstance(event, LinkReady), event
    raise AssertionError("the link ended")


@dataclass
class _Retold:
    """One context of an interpreted link: its sound so far, and what of it was told."""

    heard: bytearray = field(default_factory=bytearray)
    told: int = 0
    """Samples."""
    looked: int = 0
    word: str = ""


class Interpreted:
    """A Piper whose sound is told in test speech: each word, when its last letter has sounded.

    What is told is as long as what sounded. After `drop_after_ms` of it, its process is killed.
    """

    def __init__(self, provider: Piper, *, drop_after_ms: float | None) -> None:
        self._provider = provider
        self._drop_after_ms = drop_after_ms
        self.name = provider.name
        self.capabilities = provider.capabilities

    @asynccontextmanager
    async def connect(self, options):
        rate = output_format_of(self.capabilities, options.output_format).rate
        async with self._provider.connect(options) as link:
            yield _InterpretedLink(link, rate, self._drop_after_ms)


class _InterpretedLink:
    def __init__(self, link, rate: int, drop_after_ms: float | None) -> None:
        self._link = link
        self._rate = rate
        self._left_ms = drop_after_ms
        self._pid: int | None = None
        self._contexts: dict[ContextId, _Retold] = {}

    def send(self, command) -> None:
        if isinstance(command, CancelSpeech):
            self._contexts.pop(command.context_id, None)
        self._link.send(command)

    def attach(self, deliver) -> None:
        def retell(event) -> None:
            for each in self._retold(event):
                deliver(each)

        self._link.attach(retell)

    async def __aiter__(self):
        async for event in self._link:
            for each in self._retold(event):
                yield each

    def _retold(self, event):
        match event:
            case LinkReady():
                self._pid = int(event.remote_id)
                yield event
            case SpeechAudio(context_id=context_id, pcm=pcm):
                retold = self._contexts.setdefault(context_id, _Retold())
                retold.heard += pcm
                self._wear(len(pcm) / 2 / self._rate * 1000)
                if said := self._words(retold):
                    yield SpeechAudio(context_id=context_id, pcm=said)
            case SpeechDone(context_id=context_id):
                retold = self._contexts.pop(context_id, _Retold())
                rest = bytes(len(retold.heard) - 2 * retold.told)
                if rest:
                    yield SpeechAudio(context_id=context_id, pcm=rest)
                yield event
            case _:
                yield event

    def _words(self, retold: _Retold) -> bytes:
        """Test speech of the words that are complete, as long as their sound."""
        told = b""
        symbols = list(symbols_in(bytes(retold.heard), self._rate))
        for letter, end in symbols[retold.looked :]:
            if letter not in " ^$":
                retold.word += letter
            elif retold.word:
                said = pcm_of(speech(retold.word, rate=self._rate, word_ms=60))
                told += said + bytes(2 * (end - retold.told) - len(said))
                retold.told, retold.word = end, ""
        retold.looked = len(symbols)
        return told

    def _wear(self, milliseconds: float) -> None:
        if self._left_ms is not None:
            self._left_ms -= milliseconds
            if self._left_ms <= 0:
                self._left_ms = None
                kill(self._pid)
