"""A speech-to-text service as a handle: `beluga_voice.stt("pocketsphinx")`."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from beluga_voice import registry
from beluga_voice.audio.formats import AudioFormat, to_milliseconds
from beluga_voice.errors import ConfigurationError, LinkLost, Silent
from beluga_voice.events import (
    FinishUtterance,
    LinkClosed,
    SendAudio,
    ServiceFailed,
    SttEvent,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Capabilities,
    SpeechToText,
    SttLink,
    SttOptions,
    input_format_of,
)
from beluga_voice.services.health import HEALTH_SECONDS, Health, try_connecting
from beluga_voice.services.recording import Feeder, recording_of
from beluga_voice.support import refuse_unsupported_stt
from beluga_voice.transports.addresses import refuse_credentials
from beluga_voice.transports.failures import error_of

if TYPE_CHECKING:
    from beluga_voice.audio.wav import Sound

TRANSCRIBE_SECONDS = 60.0
"""How long a transcription may take beyond the length of the sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcription:
    """What was said in a recording."""

    text: str
    words: tuple[TimedWord, ...]
    """With positions in samples at `rate`, where the service gives times."""
    rate: int
    confidence: float | None
    language: str | None
    alternatives: tuple[str, ...]
    duration_ms: float
    """The length of the sound."""
    took_ms: float


class SpeechToTextService:
    """A service with its settings: to connect to, to transcribe a recording, to ask if it is well.

    It is a provider too: a session takes it as `stt=`.
    """

    def __init__(self, provider: SpeechToText, options: SttOptions) -> None:
        self.provider = provider
        self.name = provider.name
        self.options = options
        refuse_unsupported_stt(options, provider.capabilities, provider.name)

    @property
    def capabilities(self) -> Capabilities:
        """What can be asked of it."""
        return self.provider.capabilities

    @asynccontextmanager
    async def connect(self, options: SttOptions | None = None, /) -> AsyncGenerator[SttLink]:
        """A live transcription; what `options` leave open is as the handle has it.

        Raises `Unsupported` before connecting for what the service cannot honour, and a
        `ProviderError` when no connection came about. Leaving closes it.
        """
        wanted = self.options if options is None else self.options_with(options)
        refuse_unsupported_stt(wanted, self.capabilities, self.name)
        async with self.provider.connect(wanted) as link:
            yield link

    def options_with(self, given: SttOptions) -> SttOptions:
        """What was given, and where that says nothing, the settings of the handle."""
        silent = SttOptions()
        changes = {
            name: value
            for name in SttOptions.__dataclass_fields__
            if (value := getattr(given, name)) != getattr(silent, name)
        }
        return replace(self.options, **changes)

    async def transcribe(
        self,
        audio: "bytes | Sound",
        *,
        rate: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Transcription:
        """The words of a recording, over a connection of its own.

        `audio` is a `Sound` (see `read_wav`), or mono 16-bit PCM at `rate`, which is by default the
        one the service prefers. Raises `WrongFormat` for sound that is none, a `ProviderError` if
        the service fails, and `Silent` if there is no final transcript in time: the length of the
        sound and a minute, unless said otherwise. Safe to cancel.
        """
        options = replace(self.options, wants_interim=False)
        source = input_format_of(self.capabilities, options.input_format)
        pcm = recording_of(audio, rate or source.rate, source)
        duration_ms = to_milliseconds(len(pcm) // source.block_bytes, source.rate)
        seconds = timeout_seconds or duration_ms / 1000 + TRANSCRIBE_SECONDS
        loop = asyncio.get_running_loop()
        began = loop.time()
        limit = asyncio.timeout(seconds)
        try:
            async with limit, self.connect(options) as link:
                final = await self._final(link, pcm, source)
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"{self.name} gave no final transcript within {seconds:g} s"
            raise Silent(message, op="transcribe", provider=self.name) from error
        return Transcription(
            text=final.text,
            words=final.words,
            rate=source.rate,
            confidence=final.confidence,
            language=final.language,
            alternatives=final.alternatives,
            duration_ms=duration_ms,
            took_ms=round((loop.time() - began) * 1000, 3),
        )

    async def _final(self, link: SttLink, pcm: bytes, source: AudioFormat) -> Transcript:
        """Send all of it, and wait for the words."""
        whole = UtteranceId("recording")
        found: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()

        def hear(event: SttEvent) -> None:
            if found.done():
                return
            match event:
                case Transcript(is_final=True, utterance_id=named) if named == whole:
                    found.set_result(event)
                case ServiceFailed(is_fatal=True):
                    found.set_exception(
                        error_of(event, op="transcribe", provider=self.name, otherwise=LinkLost)
                    )
                case LinkClosed():
                    message = f"{self.name} ended before its transcript was final: {event.reason}"
                    found.set_exception(LinkLost(message, op="transcribe", provider=self.name))
                case _:
                    pass

        link.attach(hear)
        feeder = Feeder(link, source, is_paced=self.capabilities.needs_paced_input)
        try:
            async with feeder.sending(pcm, SendAudio, then=[FinishUtterance(utterance_id=whole)]):
                return await found
        finally:
            if found.done() and not found.cancelled():
                found.exception()  # it may have come while we were being cancelled

    async def health(self, *, timeout_seconds: float = HEALTH_SECONDS) -> Health:
        """Connect and leave again.

        A service that takes recordings whole is not connected to: it is given a second of the
        softest sound there is, for which it may want money.
        """
        asking = self.connect if self.capabilities.is_streaming else self._posting
        return await try_connecting(self.name, asking, timeout_seconds=timeout_seconds)

    @asynccontextmanager
    async def _posting(self) -> AsyncGenerator[None]:
        rate = input_format_of(self.capabilities, self.options.input_format).rate
        await self.transcribe(b"\1\0\xff\xff" * (rate // 2), rate=rate)
        yield


def stt(
    service: str | SpeechToText,
    *,
    model: str | None = None,
    api_key: str | None = None,
    endpoint: str | None = None,
    language: str | None = None,
    phrases: Sequence[str] = (),
    wants_words: bool = False,
    wants_punctuation: bool = True,
    alternatives: int = 1,
    filters_profanity: bool = False,
    input_format: AudioFormat | None = None,
    **settings: Any,
) -> SpeechToTextService:
    """A handle of the speech-to-text service of that name (`"name"` or `"name:model"`).

    Without `api_key`, credentials come from the service's own environment variables when it
    connects. `endpoint` is the address of any server that speaks the service's protocol.
    `input_format` is what the service is sent, one of its `capabilities.input_formats`. `settings`
    are arguments of the provider. Raises `UnknownPlugin`, and `Unsupported` for what this service
    cannot honour; nothing is connected.
    """
    refuse_credentials(endpoint or "")
    if isinstance(service, str):
        given = {"model": model, "api_key": api_key, "endpoint": endpoint, **settings}
        made = {name: value for name, value in given.items() if value is not None}
        provider: SpeechToText = registry.create("stt", service, **made)
    elif model or api_key or endpoint or settings:
        raise ConfigurationError("a provider that is made already takes no settings", op="stt")
    else:
        provider = service
    options = SttOptions(
        language=language,
        phrases=tuple(phrases),
        wants_words=wants_words,
        wants_punctuation=wants_punctuation,
        alternatives=alternatives,
        filters_profanity=filters_profanity,
        input_format=input_format,
    )
    return SpeechToTextService(provider, options)
