"""A text-to-speech service as a handle: `beluga_voice.tts("espeak", voice="en-gb")`."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from beluga_voice import registry
from beluga_voice.audio.formats import (
    AudioFormat,
    is_digital_silence,
    pcm16,
    to_milliseconds,
)
from beluga_voice.errors import ConfigurationError, LinkLost, Misuse, Silent, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    LinkClosed,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    TtsEvent,
)
from beluga_voice.interfaces import (
    Capabilities,
    HasVoices,
    TextToSpeech,
    TtsLink,
    TtsOptions,
    Voice,
    output_format_of,
)
from beluga_voice.services.health import HEALTH_SECONDS, Health, try_connecting
from beluga_voice.support import refuse_unsupported_tts
from beluga_voice.transports.addresses import refuse_credentials
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    from beluga_voice.audio.convert import Converter
    from beluga_voice.audio.wav import Sound

QUIET_SECONDS = 15.0
"""How long a service may give nothing before it counts as silent."""

type SpeechPiece = SpeechAudio | SpeechWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Text as sound: mono 16-bit PCM at `rate`."""

    audio: bytes
    rate: int
    words: tuple[TimedWord, ...]
    """Where words sound, in samples at `rate`, where the service says it."""
    first_audio_ms: float
    """From the call to the first sound."""
    took_ms: float

    @property
    def duration_ms(self) -> float:
        """The length of the sound."""
        return to_milliseconds(len(self.audio) // 2, self.rate)

    @property
    def sound(self) -> "Sound":
        """The sound with its format, for instance for `write_sound`."""
        from beluga_voice.audio.wav import Sound

        return Sound(format=pcm16(self.rate), data=self.audio)


class TextToSpeechService:
    """A service with its settings: to connect to, to speak a text, to list its voices.

    It is a provider too: a session takes it as `tts=`.
    """

    def __init__(self, provider: TextToSpeech, options: TtsOptions) -> None:
        self.provider = provider
        self.name = provider.name
        self.options = options
        self._contexts = itertools.count(1)
        refuse_unsupported_tts(options, provider.capabilities, provider.name)

    @property
    def capabilities(self) -> Capabilities:
        """What can be asked of it."""
        return self.provider.capabilities

    @property
    def rate(self) -> int:
        """The rate of what it gives, in hertz."""
        return output_format_of(self.capabilities, self.options.output_format).rate

    @asynccontextmanager
    async def connect(self, options: TtsOptions | None = None, /) -> AsyncGenerator[TtsLink]:
        """A live voice; what `options` leave open is as the handle has it.

        Raises `Unsupported` before connecting for what the service cannot honour, and a
        `ProviderError` when no connection came about. Leaving closes it.
        """
        wanted = self.options if options is None else self.options_with(options)
        refuse_unsupported_tts(wanted, self.capabilities, self.name)
        async with self.provider.connect(wanted) as link:
            yield link

    def options_with(self, given: TtsOptions) -> TtsOptions:
        """What was given, and where that says nothing, the settings of the handle."""
        silent = TtsOptions()
        changes = {
            name: value
            for name in TtsOptions.__dataclass_fields__
            if (value := getattr(given, name)) != getattr(silent, name)
        }
        return replace(self.options, **changes)

    async def synthesize(
        self, text: str | AsyncIterable[str], *, quiet_seconds: float = QUIET_SECONDS
    ) -> Speech:
        """All of `text` as sound. Raises as `stream` does."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        first: float | None = None
        sound: list[bytes] = []
        words: list[TimedWord] = []
        async for piece in self.stream(text, quiet_seconds=quiet_seconds):
            if isinstance(piece, SpeechWords):
                words += piece.words
                continue
            first = loop.time() if first is None else first
            sound.append(piece.pcm)
        ended = loop.time()
        return Speech(
            audio=b"".join(sound),
            rate=self.rate,
            words=tuple(words),
            first_audio_ms=round(((ended if first is None else first) - began) * 1000, 3),
            took_ms=round((ended - began) * 1000, 3),
        )

    async def stream(
        self, text: str | AsyncIterable[str], *, quiet_seconds: float = QUIET_SECONDS
    ) -> AsyncIterator[SpeechPiece]:
        """Sound (mono 16-bit PCM at `rate`) and word times as they come, of a text or of pieces.

        Raises `Misuse` for a text without a word in it, a `ProviderError` if the service fails, and
        `Silent` if it gives nothing for `quiet_seconds` after it has all the text, or if it ends
        without any sound but digital silence. Leaving the iteration stops the speech.
        """
        if isinstance(text, str) and not text.strip():
            raise Misuse("there is no text to speak", op="synthesize")
        context_id = ContextId(f"speech-{next(self._contexts)}")
        async with self.connect() as link:
            feeder = asyncio.create_task(
                self._feed(link, context_id, text), name="beluga-voice text"
            )
            try:
                async for piece in self._pieces(link, context_id, feeder, quiet_seconds):
                    yield piece
            finally:
                link.send(CancelSpeech(context_id=context_id))
                feeder.cancel()
                await asyncio.gather(feeder, return_exceptions=True)

    async def _feed(
        self, link: TtsLink, context_id: ContextId, text: str | AsyncIterable[str]
    ) -> None:
        if isinstance(text, str):
            link.send(SpeakText(context_id=context_id, text=text))
        else:
            async for piece in text:
                if piece:
                    link.send(SpeakText(context_id=context_id, text=piece))
        link.send(FinishSpeech(context_id=context_id))

    async def _pieces(
        self,
        link: TtsLink,
        context_id: ContextId,
        feeder: "asyncio.Task[None]",
        quiet_seconds: float,
    ) -> AsyncIterator[SpeechPiece]:
        shape = output_format_of(self.capabilities, self.options.output_format)
        converter = _converter(shape)
        events = aiter(link)
        has_sounded = False
        failure: ServiceFailed | None = None
        while True:
            event = await self._next(events, feeder, quiet_seconds)
            match event:
                case SpeechAudio() if event.context_id == context_id:
                    pcm = event.pcm if converter is None else converter.feed(event.pcm)
                    # Digital silence is none: a voice that gives no more is mute.
                    has_sounded = has_sounded or not is_digital_silence(event.pcm, shape.encoding)
                    if pcm:
                        yield SpeechAudio(context_id=context_id, pcm=pcm)
                case SpeechWords() if event.context_id == context_id:
                    yield event
                case SpeechDone() if event.context_id == context_id:
                    if converter is not None and (rest := converter.flush()):
                        yield SpeechAudio(context_id=context_id, pcm=rest)
                    if not has_sounded and failure is not None:
                        raise error_of(
                            failure, op="synthesize", provider=self.name, otherwise=Silent
                        )
                    if not has_sounded:
                        message = f"{self.name} ended without a sound; check the text and the voice"
                        raise Silent(message, op="synthesize", provider=self.name)
                    return
                case ServiceFailed():
                    failure = event
                case _:
                    pass

    async def _next(
        self, events: AsyncIterator[TtsEvent], feeder: "asyncio.Task[None]", quiet_seconds: float
    ) -> TtsEvent:
        """The next event that is no failure; a text that fails is raised as it failed."""
        arrival = asyncio.ensure_future(anext(events))
        try:
            while not arrival.done():
                waited: set[asyncio.Future[Any]] = {arrival}
                if feeder.done():
                    feeder.result()
                else:
                    waited.add(feeder)
                timeout = quiet_seconds if feeder.done() else None
                done, _ = await asyncio.wait(
                    waited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    message = f"{self.name} gave nothing for {quiet_seconds:g} s"
                    raise Silent(message, op="synthesize", provider=self.name)
            event = arrival.result()
        finally:
            arrival.cancel()
        match event:
            case ServiceFailed(is_fatal=True):
                raise error_of(event, op="synthesize", provider=self.name, otherwise=LinkLost)
            case LinkClosed():
                message = f"{self.name} ended before the speech did: {event.reason}"
                raise LinkLost(message, op="synthesize", provider=self.name)
            case _:
                return event

    async def voices(self) -> tuple[Voice, ...]:
        """The voices it offers; raises `Unsupported` if it does not list them."""
        if not hasattr(self.provider, "voices"):
            raise Unsupported(f"{self.name} does not list its voices", op="voices")
        return await cast(HasVoices, self.provider).voices()  # structural: it has the method

    async def health(self, *, timeout_seconds: float = HEALTH_SECONDS) -> Health:
        """Connect and leave again."""
        return await try_connecting(self.name, self.connect, timeout_seconds=timeout_seconds)


def _converter(target: AudioFormat) -> "Converter | None":
    """From what the service gives to 16-bit PCM, where that is another thing."""
    if target == pcm16(target.rate):
        return None
    from beluga_voice.audio.convert import Converter

    return Converter(target, pcm16(target.rate))


def tts(
    service: str | TextToSpeech,
    *,
    model: str | None = None,
    api_key: str | None = None,
    endpoint: str | None = None,
    voice: str | None = None,
    language: str | None = None,
    speed: float = 1.0,
    pitch: float | None = None,
    volume: float | None = None,
    stability: float | None = None,
    style: str | None = None,
    is_ssml: bool = False,
    wants_words: bool = False,
    output_format: AudioFormat | None = None,
    **settings: Any,
) -> TextToSpeechService:
    """A handle of the text-to-speech service of that name (`"name"` or `"name:model"`).

    Without `api_key`, credentials come from the service's own environment variables when it
    connects. `endpoint` is the address of any server that speaks the service's protocol.
    `output_format` is what the service sends, one of its `capabilities.output_formats`. `settings`
    are arguments of the provider. Raises `UnknownPlugin`, and `Unsupported` for what this service
    cannot honour; nothing is connected.
    """
    refuse_credentials(endpoint or "")
    if isinstance(service, str):
        given = {"model": model, "api_key": api_key, "endpoint": endpoint, **settings}
        made = {name: value for name, value in given.items() if value is not None}
        provider: TextToSpeech = registry.create("tts", service, **made)
    elif model or api_key or endpoint or settings:
        raise ConfigurationError("a provider that is made already takes no settings", op="tts")
    else:
        provider = service
    options = TtsOptions(
        voice=voice,
        language=language,
        speed=speed,
        pitch=pitch,
        volume=volume,
        stability=stability,
        style=style,
        is_ssml=is_ssml,
        wants_words=wants_words,
        output_format=output_format,
    )
    return TextToSpeechService(provider, options)
