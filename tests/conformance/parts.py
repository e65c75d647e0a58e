"""Recognisers and voices for the conformance suites: good ones, and broken ones."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import structs

from beluga_voice.audio.formats import to_milliseconds
from beluga_voice.errors import AlreadyClosed, ConfigurationError, ProviderError
from beluga_voice.events import (
    CancelSpeech,
    DropUtterance,
    LinkClosed,
    SendAudio,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    Transcript,
    UtteranceId,
)
from beluga_voice.testing.conformance import Maker, Peer, Rule
from beluga_voice.testing.scripted import ScriptedStt
from beluga_voice.testing.speech import silence
from scenarios.cascade_row import PacedTts


class Part:
    """A provider that passes on what a good one does, and adds what that leaves out."""

    def __init__(self, inner: Any, peer: Peer) -> None:
        self.inner = inner
        self.peer = peer
        self.name = inner.name
        self.capabilities = inner.capabilities

    def check(self, options: Any) -> None:
        """Refuse what cannot be honoured."""
        for name, offered in (
            ("input_format", self.capabilities.input_formats),
            ("output_format", self.capabilities.output_formats),
        ):
            if getattr(options, name, None) not in (None, *offered):
                raise ConfigurationError(f"the {name} is not offered", op=self.name)

    @asynccontextmanager
    async def connect(self, options: Any, /) -> AsyncGenerator["PartLink"]:
        """A link that is lost when its service is, and ends in order otherwise."""
        self.check(options)
        if self.peer.faults.refuse_status is not None:
            raise ProviderError("refused", op="connect")
        async with self.inner.connect(options) as inner:
            link = self.wrap(inner)
            try:
                yield link
            finally:
                link.end(is_clean=True)

    def wrap(self, inner: Any) -> "PartLink":
        """The link that is given."""
        return PartLink(inner, self.peer)


class PartLink:
    """Of what it is sent, a link for hearing is lost after so much."""

    def __init__(self, inner: Any, peer: Peer) -> None:
        self.inner = inner
        self.left_ms = peer.faults.drop_after_audio_ms
        self.is_over = False
        self.deliver: Callable[[Any], None] | None = None
        self.waiting: asyncio.Queue[Any] = asyncio.Queue()
        inner.attach(self.take)

    def take(self, event: Any) -> None:
        """An event of the good link."""
        for one in self.events(event):
            self.give(one)

    def events(self, event: Any) -> Iterable[Any]:
        """What becomes of it."""
        yield event

    def give(self, event: Any) -> None:
        """To the reader."""
        if self.is_over:
            return
        self.is_over = isinstance(event, LinkClosed)
        if self.deliver is None:
            self.waiting.put_nowait(event)
        else:
            self.deliver(event)

    def end(self, *, is_clean: bool) -> None:
        """Nothing follows."""
        self.give(LinkClosed(is_clean=is_clean))

    def send(self, command: Any, /) -> None:
        """To the good link, until it is lost."""
        if self.is_over:
            return
        self.inner.send(command)
        if isinstance(command, SendAudio) and self.left_ms is not None:
            self.left_ms -= to_milliseconds(len(command.pcm) // 2, 16000)
            if self.left_ms <= 0:
                self.end(is_clean=False)

    def attach(self, deliver: Callable[[Any], None], /) -> None:
        """Deliver by call."""
        while not self.waiting.empty():
            deliver(self.waiting.get_nowait())
        self.deliver = deliver

    async def __aiter__(self) -> AsyncIterator[Any]:
        while True:
            event = await self.waiting.get()
            yield event
            if isinstance(event, LinkClosed):
                return


def good_stt(peer: Peer) -> Any:
    """A recogniser that reads test speech."""
    return ScriptedStt(delay_ms=peer.pace.transcript_ms, interim=True)


def good_tts(peer: Peer) -> Any:
    """A voice that speaks test speech."""
    lost_after_ms = peer.faults.drop_after_audio_ms
    return PacedTts(word_ms=peer.pace.word_ms, lost_after_ms=lost_after_ms)


def making(part: Callable[[Peer], Any], kind: type[PartLink] = PartLink) -> Maker[Any]:
    """A maker of that part, with links of that kind."""

    class Provider(Part):
        def wrap(self, inner: Any) -> PartLink:
            return kind(inner, self.peer)

    @asynccontextmanager
    async def make(peer: Peer) -> AsyncGenerator[Any]:
        yield Provider(part(peer), peer)

    return make


# ── broken recognisers ──────────────────────────────────────────────────────────────────────


class FinalTwice(PartLink):
    """Answers twice."""

    def events(self, event: Any) -> Iterable[Any]:
        yield event
        if isinstance(event, Transcript) and event.is_final:
            yield event


class WrongUtterance(PartLink):
    """Names another utterance."""

    def events(self, event: Any) -> Iterable[Any]:
        if isinstance(event, Transcript) and event.is_final:
            event = structs.replace(event, utterance_id=UtteranceId("another"))
        yield event


class SilentOnSilence(PartLink):
    """Has no answer when nothing was said."""

    def events(self, event: Any) -> Iterable[Any]:
        if not isinstance(event, Transcript) or event.text:
            yield event


class RemembersAll(PartLink):
    """Does not forget what was dropped."""

    def send(self, command: Any, /) -> None:
        if not isinstance(command, DropUtterance):
            super().send(command)


class OnlyTheNewest(PartLink):
    """Tells the last word only."""

    def events(self, event: Any) -> Iterable[Any]:
        if isinstance(event, Transcript) and not event.is_final:
            event = structs.replace(event, text=event.text.split()[-1])
        yield event


class GoesSilently(PartLink):
    """Does not tell that it is over."""

    def events(self, event: Any) -> Iterable[Any]:
        if not isinstance(event, LinkClosed):
            yield event

    def end(self, *, is_clean: bool) -> None:
        pass


class ComplainsAfterwards(PartLink):
    """Raises for commands after the end."""

    def send(self, command: Any, /) -> None:
        if self.is_over:
            raise AlreadyClosed("the link is closed", op="link")
        super().send(command)


# ── broken voices ───────────────────────────────────────────────────────────────────────────


class DoneTwice(PartLink):
    """Ends a context twice."""

    def events(self, event: Any) -> Iterable[Any]:
        yield event
        if isinstance(event, SpeechDone):
            yield event


class NeverDone(PartLink):
    """Does not end a context."""

    def events(self, event: Any) -> Iterable[Any]:
        if not isinstance(event, SpeechDone):
            yield event


class SpeaksOn(PartLink):
    """Does not stop."""

    def send(self, command: Any, /) -> None:
        if not isinstance(command, CancelSpeech):
            super().send(command)


class WordsFirst(PartLink):
    """Tells a word before its sound."""

    held: Any = None

    def events(self, event: Any) -> Iterable[Any]:
        if isinstance(event, SpeechAudio):
            self.held = event
            return
        yield event
        if isinstance(event, SpeechWords):
            yield self.held


class HalfSamples(PartLink):
    """Cuts sound in the middle of a sample."""

    def events(self, event: Any) -> Iterable[Any]:
        if isinstance(event, SpeechAudio):
            yield structs.replace(event, pcm=event.pcm[:101])
            event = structs.replace(event, pcm=event.pcm[101:])
        yield event


class TooLong(PartLink):
    """Has more sound than its rate says."""

    def events(self, event: Any) -> Iterable[Any]:
        yield event
        if isinstance(event, SpeechAudio):
            yield structs.replace(event, pcm=silence(100, rate=24000))


class Mingles(PartLink):
    """Speaks all contexts as the first one."""

    first: Any = None

    def events(self, event: Any) -> Iterable[Any]:
        if isinstance(event, SpeechAudio):
            self.first = self.first or event.context_id
            event = structs.replace(event, context_id=self.first)
        yield event


BROKEN_STT: list[tuple[Rule, type[PartLink]]] = [
    (Rule.FINISH_IS_ANSWERED, FinalTwice),
    (Rule.FINISH_IS_ANSWERED, WrongUtterance),
    (Rule.FINISH_IS_ANSWERED, SilentOnSilence),
    (Rule.DROP_IS_FORGOTTEN, RemembersAll),
    (Rule.INTERIM_IS_WHOLE, OnlyTheNewest),
    (Rule.LINK_CLOSED_LAST, GoesSilently),
    (Rule.NOTHING_AFTER_THE_END, ComplainsAfterwards),
]
BROKEN_TTS: list[tuple[Rule, type[PartLink]]] = [
    (Rule.SPEECH_DONE_ONCE, DoneTwice),
    (Rule.SPEECH_DONE_ONCE, NeverDone),
    (Rule.SILENT_WHEN_CANCELLED, SpeaksOn),
    (Rule.WORDS_AFTER_AUDIO, WordsFirst),
    (Rule.WHOLE_SAMPLES, HalfSamples),
    (Rule.OFFERED_FORMATS, TooLong),
    (Rule.SPEECH_DONE_ONCE, Mingles),
    (Rule.LINK_CLOSED_LAST, GoesSilently),
]
