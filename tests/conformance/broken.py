"""Providers that break one promise each: thin wrappers around good ones."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from msgspec import structs

from beluga_voice.errors import AlreadyClosed, ConfigurationError
from beluga_voice.events import (
    AnswerTool,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    LinkClosed,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sCommand,
    S2sEvent,
    SeedHistory,
    SendText,
    SpeechStarted,
    Update,
    UsageReported,
    UtteranceId,
)
from beluga_voice.events import Usage as Used
from beluga_voice.interfaces import S2sLink, S2sOptions, SpeechToSpeech, TurnOwner
from beluga_voice.testing.conformance import Maker, Peer, Rule
from beluga_voice.testing.speech import silence
from beluga_voice.transports.feed import Feed


class Wrapped:
    """A provider that passes everything on."""

    def __init__(self, inner: SpeechToSpeech) -> None:
        self.inner = inner
        self.name = inner.name
        self.capabilities = inner.capabilities

    def asked(self, options: S2sOptions) -> S2sOptions:
        """What the good provider is asked for."""
        return options

    def wrap(self, link: S2sLink, options: S2sOptions) -> S2sLink:
        """The link that is given."""
        return link

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        """Connect the good provider."""
        async with self.inner.connect(self.asked(options)) as link:
            yield self.wrap(link, options)


class WrappedLink:
    """A link that passes everything on."""

    def __init__(self, inner: S2sLink) -> None:
        self.inner = inner

    def send(self, command: S2sCommand, /) -> None:
        """To the good link."""
        self.inner.send(command)

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """From the good link."""

        def take(event: S2sEvent) -> None:
            for one in self.events(event):
                deliver(one)

        self.inner.attach(take)

    async def __aiter__(self) -> AsyncIterator[S2sEvent]:
        async for event in self.inner:
            for one in self.events(event):
                yield one

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        """What becomes of an event of the good link."""
        yield event


def with_link(kind: type[WrappedLink]) -> type[Wrapped]:
    """A provider whose links are of that kind."""

    class Provider(Wrapped):
        def wrap(self, link: S2sLink, options: S2sOptions) -> S2sLink:
            return kind(link)

    return Provider


# ── responses ───────────────────────────────────────────────────────────────────────────────


class DoneTwice(WrappedLink):
    """Says twice that a response is done."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, ResponseDone):
            yield event


class NotDoneOnDeath(WrappedLink):
    """Owes the end of a response when the connection dies."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not isinstance(event, ResponseDone) or event.status is not ResponseStatus.FAILED:
            yield event


class CompletedOnDeath(WrappedLink):
    """Calls a response complete that broke off."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseDone):
            event = structs.replace(event, status=ResponseStatus.COMPLETED)
        yield event


class SoundFirst(WrappedLink):
    """Gives the first sound of a response before it has started."""

    held: ResponseStarted | None = None

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseStarted):
            self.held = event
            return
        if isinstance(event, ResponseText) and self.held is not None:
            return
        yield event
        if isinstance(event, ResponseAudio) and self.held is not None:
            yield self.held
            self.held = None


class SoundAfterDone(WrappedLink):
    """Has some more sound of a response that is done."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, ResponseDone):
            yield ResponseAudio(response_id=event.response_id, pcm=silence(20))


class SpeaksOn(WrappedLink):
    """Does not mind that a response is interrupted."""

    started: ResponseId | None = None
    interrupted: ResponseId | None = None

    def send(self, command: S2sCommand, /) -> None:
        if isinstance(command, Interrupt) and command.response_id == self.started:
            self.interrupted = command.response_id
        super().send(command)

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseStarted):
            self.started = event.response_id
        if self.interrupted is not None and not isinstance(event, ResponseDone):
            yield ResponseAudio(response_id=self.interrupted, pcm=silence(20))
        yield event


class SpeaksOnByItself(WrappedLink):
    """Says that it has stopped, and goes on."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, ResponseText):
            yield Interrupted(response_id=event.response_id)


class AnswersTwice(WrappedLink):
    """Answers every turn once more."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, ResponseDone):
            twice = ResponseId(f"{event.response_id}-again")
            yield ResponseStarted(response_id=twice)
            yield ResponseAudio(response_id=twice, pcm=silence(20))
            yield structs.replace(event, response_id=twice)


class NeverAnswersNothing(WrappedLink):
    """Leaves a turn open in which nothing was said."""

    silent: bool = True

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, InputTranscript) and event.text:
            self.silent = False
        if not self.silent or not isinstance(event, NoResponse):
            yield event


class GluedWords(WrappedLink):
    """Loses the spaces between words."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseText):
            event = structs.replace(event, delta=event.delta.strip())
        yield event


class WordsBackwards(WrappedLink):
    """Says of later words that they sound earlier."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseText) and event.start is not None and event.end is not None:
            event = structs.replace(event, start=-event.start, end=-event.start)
        yield event


class WrongReasons(WrappedLink):
    """Says of every response that it was asked for."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseStarted) and event.origin is ResponseOrigin.SAID:
            event = structs.replace(event, origin=ResponseOrigin.TURN)
        yield event


class WrongRequests(WrappedLink):
    """Says of a response that was asked for that it answers a turn."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseStarted) and event.origin is ResponseOrigin.REQUESTED:
            event = structs.replace(event, origin=ResponseOrigin.TURN)
        yield event


# ── transcripts, ids and sound ──────────────────────────────────────────────────────────────


class InterimAfterFinal(WrappedLink):
    """Thinks again about words that were final."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, InputTranscript) and event.is_final:
            yield structs.replace(event, is_final=False)


class TwoFinals(WrappedLink):
    """Tells the final words twice."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, InputTranscript) and event.is_final:
            yield event


class NoInterim(WrappedLink):
    """Tells only final words, though it offers others."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not isinstance(event, InputTranscript) or event.is_final:
            yield event


class NoSpeechEvents(WrappedLink):
    """Does not tell that the person speaks, though it offers to."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not isinstance(event, SpeechStarted):
            yield event


class CountsFromOne(WrappedLink):
    """Names the utterances of each link alike."""

    def __init__(self, inner: S2sLink) -> None:
        super().__init__(inner)
        self.names: dict[UtteranceId, UtteranceId] = {}

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, InputTranscript | InputCommitted):
            fresh = UtteranceId(f"utterance-{len(self.names) + 1}")
            name = self.names.setdefault(event.utterance_id, fresh)
            event = structs.replace(event, utterance_id=name)
        yield event


class HalfSamples(WrappedLink):
    """Cuts sound in the middle of a sample."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, ResponseAudio):
            yield structs.replace(event, pcm=event.pcm[:101])
            event = structs.replace(event, pcm=event.pcm[101:])
        yield event


# ── sending ─────────────────────────────────────────────────────────────────────────────────


class SendWaits(WrappedLink):
    """Gives something to await."""

    def send(self, command: S2sCommand, /) -> Any:
        self.inner.send(command)
        waiting = asyncio.sleep(0)
        waiting.close()  # nobody awaits it, and nobody is to be warned of that
        return waiting


class SendRaises(WrappedLink):
    """Complains of commands after the end."""

    is_over: bool = False

    def send(self, command: S2sCommand, /) -> None:
        if self.is_over:
            raise AlreadyClosed("the link is closed", op="link")
        super().send(command)

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        self.is_over = self.is_over or isinstance(event, LinkClosed)
        yield event


class LosesCommands(WrappedLink):
    """Does not do what it is told; which of it, is for each kind to say."""

    lost: tuple[type[Any], ...] = ()

    def send(self, command: S2sCommand, /) -> None:
        if not isinstance(command, self.lost):
            super().send(command)


class LosesToolResults(LosesCommands):
    """Keeps what tools give to itself."""

    lost = (AnswerTool,)


class LosesUpdates(LosesCommands):
    """Changes nothing in mid-call."""

    lost = (Update,)


class LosesHistory(LosesCommands):
    """Does not tell the model what was said."""

    lost = (SeedHistory,)


class LosesText(LosesCommands):
    """Does not read."""

    lost = (SendText,)


class IgnoresPosition(WrappedLink):
    """Tells the service that all of a response was heard."""

    def send(self, command: S2sCommand, /) -> None:
        if isinstance(command, Interrupt):
            command = structs.replace(command, heard_samples=24000 * 60)
        super().send(command)


class NotInterruptible(WrappedLink):
    """Gives no sound after an interruption, and never any again."""

    is_mute: bool = False

    def send(self, command: S2sCommand, /) -> None:
        self.is_mute = self.is_mute or isinstance(command, Interrupt)
        super().send(command)

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not self.is_mute or not isinstance(event, ResponseAudio):
            yield event


# ── the end ─────────────────────────────────────────────────────────────────────────────────


class ClosedNotLast(WrappedLink):
    """Has something to say after the end."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, LinkClosed):
            yield UsageReported(usage=Used(characters=1))


class ClosedTwice(WrappedLink):
    """Ends twice."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        yield event
        if isinstance(event, LinkClosed):
            yield event


class NeverClosed(WrappedLink):
    """Goes without a word."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not isinstance(event, LinkClosed):
            yield event


class LossIsClean(WrappedLink):
    """Calls a broken connection an orderly end."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if isinstance(event, LinkClosed):
            event = structs.replace(event, is_clean=True)
        yield event


# ── reading ─────────────────────────────────────────────────────────────────────────────────


class ForgetsWhatWaits(WrappedLink):
    """Gives a reader only what comes after it."""

    def __init__(self, inner: S2sLink) -> None:
        super().__init__(inner)
        self.feed: Feed[S2sEvent] | None = None
        self.inner.attach(self.take)

    def take(self, event: S2sEvent) -> None:
        """To the reader, if there is one."""
        if self.feed is not None:
            self.feed.put(event)
            if isinstance(event, LinkClosed):
                self.feed.close()

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        self.feed = Feed()
        self.feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        self.feed = Feed()
        return aiter(self.feed)


class IteratesLess(WrappedLink):
    """Tells who iterates nothing of what the person said."""

    async def __aiter__(self) -> AsyncIterator[S2sEvent]:
        async for event in self.inner:
            if not isinstance(event, InputTranscript):
                yield event


# ── providers ───────────────────────────────────────────────────────────────────────────────


class IgnoresOptions(Wrapped):
    """Takes what it cannot honour."""

    def asked(self, options: S2sOptions) -> S2sOptions:
        return replace(options, temperature=None)


class ConnectsFirst(Wrapped):
    """Looks at the options only when it is connected."""

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        async with self.inner.connect(replace(options, temperature=None)) as link:
            if options.temperature is not None:
                raise ConfigurationError("there is no temperature", op="connect")
            yield link


class OneFormat(Wrapped):
    """Speaks in its own format whatever was asked for."""

    def asked(self, options: S2sOptions) -> S2sOptions:
        is_offered = options.output_format in self.capabilities.output_formats
        return replace(options, output_format=None) if is_offered else options


class ForgetsOldHistory(Wrapped):
    """Begins every conversation anew."""

    def asked(self, options: S2sOptions) -> S2sOptions:
        return replace(options, history=(), resume=None)


class AlwaysResponds(Wrapped):
    """Cannot be kept from answering."""

    def asked(self, options: S2sOptions) -> S2sOptions:
        return replace(options, respond_automatically=True)


LEFT_BEHIND: list[asyncio.Task[None]] = []
"""Else they would be collected."""


class LeavesATask(Wrapped):
    """Leaves a task behind."""

    def wrap(self, link: S2sLink, options: S2sOptions) -> S2sLink:
        LEFT_BEHIND.append(asyncio.create_task(asyncio.sleep(3600), name="left behind"))
        return link


class SlowToLeave(Wrapped):
    """Takes a minute to close."""

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        async with self.inner.connect(options) as link:
            yield link
        await asyncio.sleep(60)


class NeverConnects(Wrapped):
    """Waits for a service that never comes."""

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        async with self.inner.connect(options) as link:
            await asyncio.sleep(3600)
            yield link


class SwallowsCancellation(Wrapped):
    """Makes another error of a cancellation."""

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        try:
            async with self.inner.connect(options) as link:
                yield link
        except asyncio.CancelledError:
            raise AlreadyClosed("cancelled", op="connect") from None


class GroupsErrors(Wrapped):
    """Gives the errors of others back in a group."""

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        async with self.inner.connect(options) as link, asyncio.TaskGroup():
            yield link


class Duplex(Wrapped):
    """A good provider whose model hears and speaks at once, as far as anybody can tell."""

    def __init__(self, inner: SpeechToSpeech) -> None:
        super().__init__(inner)
        self.capabilities = replace(
            inner.capabilities,
            turn_owners=(TurnOwner.DUPLEX,),
            can_cancel=False,
            can_truncate=False,
            can_suppress_response=False,
        )

    def asked(self, options: S2sOptions) -> S2sOptions:
        if options.turn_owner not in (None, TurnOwner.DUPLEX):
            raise ConfigurationError(f"there are no {options.turn_owner} turns", op="connect")
        if not options.respond_automatically:
            raise ConfigurationError("it answers when it likes", op="connect")
        return replace(options, turn_owner=TurnOwner.PROVIDER)


class Silent(WrappedLink):
    """Never makes a sound."""

    def events(self, event: S2sEvent) -> Iterable[S2sEvent]:
        if not isinstance(event, ResponseAudio):
            yield event


class SilentDuplex(Duplex):
    """Hears, and never speaks."""

    def wrap(self, link: S2sLink, options: S2sOptions) -> S2sLink:
        return Silent(link)


def wrapping(make: Maker[SpeechToSpeech], kind: type[Wrapped]) -> Maker[SpeechToSpeech]:
    """A maker of the good provider, wrapped."""

    @asynccontextmanager
    async def wrapped(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
        async with make(peer) as provider:
            yield kind(provider)

    return wrapped


BY_RULE: list[tuple[Rule, type[Wrapped] | type[WrappedLink], str]] = [
    (Rule.RESPONSE_DONE_ONCE, DoneTwice, "a second ResponseDone"),
    (Rule.RESPONSE_DONE_ONCE, NotDoneOnDeath, "no ResponseDone"),
    (Rule.RESPONSE_DONE_ONCE, CompletedOnDeath, "for what broke off"),
    (Rule.RESPONSE_STARTED_FIRST, SoundFirst, "which has not started"),
    (Rule.SILENT_WHEN_DONE, SoundAfterDone, "ResponseAudio"),
    (Rule.SILENT_WHEN_INTERRUPTED, SpeaksOn, "ResponseAudio"),
    (Rule.SILENT_WHEN_INTERRUPTED, SpeaksOnByItself, "ResponseAudio"),
    (Rule.TURNS, AnswersTwice, "a response whose sound says ''"),
    (Rule.RESPONSE_TEXT, GluedWords, "'one,two.Three'"),
    (Rule.SAY, WrongReasons, "the origin turn"),
    (Rule.REQUESTS, WrongRequests, "the origin turn"),
    (Rule.FINAL_TRANSCRIPT_LAST, InterimAfterFinal, "interim itself"),
    (Rule.FINAL_TRANSCRIPT_LAST, TwoFinals, "final itself"),
    (Rule.TRANSCRIPTS, NoInterim, "no interim transcript"),
    (Rule.SPEECH_EVENTS, NoSpeechEvents, "no SpeechStarted"),
    (Rule.IDS_ARE_UNIQUE, CountsFromOne, "which link 1 has used"),
    (Rule.WHOLE_SAMPLES, HalfSamples, "101 bytes"),
    (Rule.SEND_NEVER_WAITS, SendWaits, "coroutine"),
    (Rule.NOTHING_AFTER_THE_END, SendRaises, "AlreadyClosed"),
    (Rule.TOOLS, LosesToolResults, "did not come"),
    (Rule.UPDATES, LosesUpdates, "Be brief."),
    (Rule.SEEDED_HISTORY, LosesHistory, "a model that knows of"),
    (Rule.SEEDED_HISTORY, ForgetsOldHistory, "a model that knows of"),
    (Rule.TEXT_INPUT, LosesText, "did not come"),
    (Rule.TRUNCATION, IgnoresPosition, "a model that believes"),
    (Rule.INTERRUPTION, NotInterruptible, "did not come"),
    (Rule.LINK_CLOSED_LAST, ClosedNotLast, "UsageReported after LinkClosed"),
    (Rule.LINK_CLOSED_LAST, ClosedTwice, "LinkClosed after LinkClosed"),
    (Rule.LINK_CLOSED_LAST, NeverClosed, "no LinkClosed"),
    (Rule.LOSS_IS_AN_EVENT, LossIsClean, "is_clean=True"),
    (Rule.ATTACH_OR_ITERATE, ForgetsWhatWaits, "before anybody read"),
    (Rule.ATTACH_OR_ITERATE, IteratesLess, "by iteration"),
    (Rule.REFUSES_OPTIONS, IgnoresOptions, "temperature: "),
    (Rule.REFUSES_OPTIONS, ConnectsFirst, "temperature: "),
    (Rule.OFFERED_FORMATS, OneFormat, "ms of sound"),
    (Rule.SUPPRESSION, AlwaysResponds, "nobody wanted"),
    (Rule.LEAVES_NOTHING, LeavesATask, "left behind"),
    (Rule.CLOSES_IN_TIME, SlowToLeave, "more than 5 s"),
    (Rule.CONNECTS, NeverConnects, "within 15 s"),
    (Rule.CANCELLING, SwallowsCancellation, "AlreadyClosed"),
    (Rule.ERRORS_COME_THROUGH, GroupsErrors, "ExceptionGroup"),
    (Rule.DUPLEX, SilentDuplex, "did not come"),
]
"""The rule that a provider breaks, and a part of what is seen. OpenAI Realtime is the good one."""
