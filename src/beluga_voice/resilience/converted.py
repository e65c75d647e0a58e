"""A provider that takes and gives sound in formats which are not its own.

So that services can stand in for one another of which one hears at 24 kHz, say, and another at 16:
what goes in and what comes out is converted, and places in the sound are told at the other rate.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace as changed

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import WrongFormat
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    InputTranscript,
    Interrupt,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseText,
    SendAudio,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    Transcript,
)
from beluga_voice.interfaces import (
    Capabilities,
    Link,
    Provider,
    S2sOptions,
    SttOptions,
    TtsOptions,
)
from beluga_voice.resilience.nesting import warmed

if TYPE_CHECKING:
    from beluga_voice.audio.convert import Converter


class Converted[O, S, R]:
    """Offers these formats in place of the provider's own; those that it has are not converted.

    The provider is asked for the one of its formats that is nearest: of the same rate, or the next
    higher one. Words in test speech do not survive it, as they do not survive any other rate.
    """

    def __init__(
        self,
        provider: Provider[O, S, R],
        *,
        input_formats: Sequence[AudioFormat],
        output_formats: Sequence[AudioFormat],
    ) -> None:
        self._provider = provider
        self.name = provider.name
        self.capabilities: Capabilities = replace(
            provider.capabilities,
            input_formats=tuple(input_formats),
            output_formats=tuple(output_formats),
        )

    @property
    def inside(self) -> tuple[Provider[O, S, R], ...]:
        """What is wrapped."""
        return (self._provider,)

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep what it loads (models, processes) for as long as the context lasts."""
        return warmed(self.inside)

    @asynccontextmanager
    async def connect(self, options: O, /) -> AsyncGenerator[Link[S, R]]:
        """A link of the provider, in the formats that were asked for; cancelling is safe."""
        able, own = self.capabilities, self._provider.capabilities
        asked: Any = options
        source = target = None
        if isinstance(options, S2sOptions | SttOptions):
            source = options.input_format or able.input_formats[0]
            asked = replace(asked, input_format=nearest(source, own.input_formats))
        if isinstance(options, S2sOptions | TtsOptions):
            target = options.output_format or able.output_formats[0]
            asked = replace(asked, output_format=nearest(target, own.output_formats))
        async with self._provider.connect(asked) as link:
            yield ConvertedLink(
                link,
                hears=None if source is None else (source, asked.input_format),
                speaks=None if target is None else (asked.output_format, target),
            )


def nearest(wanted: AudioFormat, offered: Sequence[AudioFormat]) -> AudioFormat:
    """The one of these that loses least on the way to or from `wanted`."""

    def loss(one: AudioFormat) -> tuple[bool, bool, int, bool]:
        is_lower = one.rate < wanted.rate
        return (
            one != wanted,
            is_lower,
            abs(one.rate - wanted.rate),
            one.encoding is not wanted.encoding,
        )

    return min(offered, key=loss)


type _Way = tuple[AudioFormat, AudioFormat]
"""From one format to another."""


class ConvertedLink[S, R]:
    """A link whose sound is converted on its way. Its outbox is that of the provider's link."""

    def __init__(self, inner: Link[S, R], *, hears: _Way | None, speaks: _Way | None) -> None:
        self._inner = inner
        self._hears = _needed(hears)
        self._speaks = _needed(speaks)
        self._ears = None if self._hears is None else _converter(self._hears)
        self._mouths: dict[ResponseId | ContextId, Converter] = {}
        """For each response or context that is not done."""

    def send(self, command: S, /) -> None:
        """Pass it on, converted."""
        match command:
            case SendAudio() if self._ears is not None:
                if pcm := self._ears.feed(command.pcm):
                    self._inner.send(cast("S", SendAudio(pcm=pcm)))
            case Interrupt() if self._speaks is not None:
                self._mouths.pop(command.response_id, None)
                own, target = self._speaks
                heard = command.heard_samples * own.rate // target.rate
                self._inner.send(changed(command, heard_samples=heard))
            case CancelSpeech():
                self._mouths.pop(command.context_id, None)
                self._inner.send(command)
            case _:
                self._inner.send(command)

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Deliver by call."""

        def pass_on(event: R) -> None:
            for one in self._turn(event):
                deliver(one)

        self._inner.attach(pass_on)

    async def __aiter__(self) -> AsyncIterator[R]:
        async for event in self._inner:
            for one in self._turn(event):
                yield one

    # ── what the provider gives ─────────────────────────────────────────────────────────────

    def _turn(self, event: R) -> tuple[R, ...]:
        """The event as it is told outside, and before it what was still held of its sound."""
        match event:
            case Transcript() | InputTranscript() if self._hears is not None:
                outside, own = self._hears
                words = _moved(event.words, outside.rate, own.rate)
                return (changed(event, words=words),)
            case _ if self._speaks is None:
                return (event,)
            case ResponseAudio():
                pcm = self._mouth(event.response_id).feed(event.pcm)
                return (changed(event, pcm=pcm),) if pcm else ()
            case SpeechAudio():
                pcm = self._mouth(event.context_id).feed(event.pcm)
                return (changed(event, pcm=pcm),) if pcm else ()
            case ResponseDone():
                rest = self._rest(event.response_id)
                return _before(ResponseAudio(response_id=event.response_id, pcm=rest), event)
            case SpeechDone():
                rest = self._rest(event.context_id)
                return _before(SpeechAudio(context_id=event.context_id, pcm=rest), event)
            case ResponseText():
                start, end = self._place(event.start), self._place(event.end)
                return (changed(event, start=start, end=end),)
            case SpeechWords():
                own, target = self._speaks
                return (changed(event, words=_moved(event.words, target.rate, own.rate)),)
            case _:
                return (event,)

    def _mouth(self, name: ResponseId | ContextId) -> "Converter":
        assert self._speaks is not None
        if name not in self._mouths:
            self._mouths[name] = _converter(self._speaks)
        return self._mouths[name]

    def _rest(self, name: ResponseId | ContextId) -> bytes:
        """What is held of a sound that is over."""
        converter = self._mouths.pop(name, None)
        if converter is None:
            return b""
        try:
            return converter.flush()
        except WrongFormat:  # it ended inside a sample, which is gone
            return converter.flush()

    def _place(self, samples: int | None) -> int | None:
        assert self._speaks is not None
        own, target = self._speaks
        return None if samples is None else samples * target.rate // own.rate


def _converter(way: _Way) -> "Converter":
    # Here, so that nobody loads what calculates who converts nothing.
    from beluga_voice.audio.convert import Converter

    return Converter(*way)


def _needed(way: _Way | None) -> _Way | None:
    """That way, if there is anything to convert on it."""
    return None if way is None or way[0] == way[1] else way


def _before[R](sound: ResponseAudio | SpeechAudio, event: R) -> tuple[R, ...]:
    # A link that has the one event has the other.
    return (cast("R", sound), event) if sound.pcm else (event,)


def _moved(words: tuple[TimedWord, ...], outside: int, own: int) -> tuple[TimedWord, ...]:
    """The same words, at the rate outside."""
    return tuple(
        changed(word, start=word.start * outside // own, end=word.end * outside // own)
        for word in words
    )


def alike[O, S, R](providers: Sequence[Provider[O, S, R]]) -> list[Provider[O, S, R]]:
    """These, converted to the formats of the first where they have none in common."""
    able = [one.capabilities for one in providers]
    inputs = _offered([one.input_formats for one in able])
    outputs = _offered([one.output_formats for one in able])
    if inputs is None and outputs is None:
        return list(providers)
    made: list[Provider[O, S, R]] = []
    for one in providers:
        own = one.capabilities
        hears = own.input_formats if inputs is None else inputs
        speaks = own.output_formats if outputs is None else outputs
        has_all = set(hears) <= set(own.input_formats) and set(speaks) <= set(own.output_formats)
        made.append(one if has_all else Converted(one, input_formats=hears, output_formats=speaks))
    return made


def _offered(formats: Sequence[tuple[AudioFormat, ...]]) -> tuple[AudioFormat, ...] | None:
    """What all are to offer, or `None` where they have something in common as they are.

    That of a telephone is not enough, unless the first has nothing better.
    """
    if not all(formats):
        return None
    shared = [one for one in formats[0] if all(one in other for other in formats[1:])]
    if shared and (any(map(_is_linear, shared)) or not any(map(_is_linear, formats[0]))):
        return None
    return formats[0]


def _is_linear(one: AudioFormat) -> bool:
    return one.encoding not in (Encoding.MULAW, Encoding.ALAW)
