"""Deepgram Aura as a text-to-speech provider: one websocket, one utterance after the other.

A connection counts against a limit of connections at once: the service refuses one too many with
HTTP status 429.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import LinkReady, TtsCommand, TtsEvent
from beluga_voice.interfaces import TtsOptions, Voice
from beluga_voice.providers.deepgram.channel import (
    KEY_VARIABLE,
    HeardChannel,
    address_of,
    open_deepgram,
)
from beluga_voice.providers.tts.deepgram._capabilities import (
    CAPABILITIES,
    DEFAULT_VOICE,
    NAME,
    PATH,
    VOICES,
)
from beluga_voice.providers.tts.deepgram._codec import AuraCodec
from beluga_voice.providers.tts.deepgram._wire import CLOSE
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider


class DeepgramTts:
    """Text to speech by Deepgram Aura.

    `model` is the voice when the options name none; with a language that it does not speak, the
    first voice that does is taken. `TtsOptions.speed` is 0.7 to 1.5. The key is `api_key`, or
    `DEEPGRAM_API_KEY` at the time of connecting. `endpoint` is a host of the service, such as
    `wss://api.eu.deepgram.com`, or the whole address without settings.

    Contexts are spoken one after the other. When the text of one pauses for `pause_seconds`, what
    came so far is spoken. A service that does not answer for `quiet_seconds` has failed:
    `ServiceFailed`, and the link ends.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown voice or settings the service refuses, with its reason,
    `Overloaded`, `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = DEFAULT_VOICE,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        mip_opt_out: bool = False,
        pause_seconds: float = 0.3,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        if not model:
            raise ConfigurationError("give a voice", op=NAME)
        if pause_seconds <= 0 or quiet_seconds <= 0:
            raise ConfigurationError("pause_seconds, quiet_seconds: should be above 0", op=NAME)
        self._voice = model
        self._api_key = api_key
        self._address = address_of(endpoint, PATH, op=NAME)
        self._mip_opt_out = mip_opt_out
        self._pause_seconds = pause_seconds
        self._quiet_seconds = quiet_seconds
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = CAPABILITIES

    @asynccontextmanager
    async def connect(
        self, options: TtsOptions, /
    ) -> AsyncGenerator[WireLink[TtsCommand, TtsEvent]]:
        """Open a voice."""
        codec = AuraCodec(
            options,
            self._voice,
            mip_opt_out=self._mip_opt_out,
            pause_seconds=self._pause_seconds,
            quiet_seconds=self._quiet_seconds,
            now=asyncio.get_running_loop().time,
        )

        @asynccontextmanager
        async def channel(_: TtsOptions) -> AsyncGenerator[HeardChannel]:
            async with open_deepgram(
                self._address,
                codec.query,
                codec,
                api_key=self._api_key,
                goodbye=CLOSE,
                seconds=self._connect_seconds,
                ssl=self._ssl,
                provider=NAME,
            ) as opened:
                yield opened

        wire: WireProvider[TtsOptions, TtsCommand, TtsEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            channel,
            is_ready=lambda event: isinstance(event, LinkReady),
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link

    async def voices(self) -> tuple[Voice, ...]:
        """The voices of the second generation, as the vendor's SDK of November 2026 names them."""
        return VOICES
