"""Cartesia Sonic as a text-to-speech provider."""

import asyncio
import ssl as tls
import uuid
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.events import TtsCommand, TtsEvent
from beluga_voice.interfaces import Channel, TtsOptions, Voice
from beluga_voice.providers.cartesia.channel import key_of, open_channel
from beluga_voice.providers.cartesia.link import OwingLink, connected
from beluga_voice.providers.cartesia.service import (
    ENDPOINT,
    KEY_VARIABLE,
    NAME,
    VERSION,
    websocket_url,
)
from beluga_voice.providers.tts.cartesia._capabilities import (
    CAPABILITIES,
    DEFAULT_MODEL,
    DEFAULT_VOICE,
    PATH,
)
from beluga_voice.providers.tts.cartesia._codec import SonicCodec
from beluga_voice.providers.tts.cartesia._options import Settings, request_of
from beluga_voice.providers.tts.cartesia._voices import fetch_voices
from beluga_voice.support import refuse_unsupported_tts
from beluga_voice.transports.wire import READY_SECONDS


class Cartesia:
    """Text into speech, by Cartesia's Sonic.

    Contexts are independent, as many at once as the plan allows. `voice` is an id; see `voices`.
    `TtsOptions.speed` is 0.6 to 1.5, `volume` 0.5 to 2, and `style` an emotion, such as `calm`.
    Text is spoken at once; with `max_buffer_delay_ms` (to 5000) the service waits for more text
    that long, which suits text that comes word by word. `pronunciation_dict_id` names a list of
    how words are spoken, kept at the service.

    A context that is cancelled is silent at once, and has no `SpeechDone`. Sound that is not what
    was asked for is told by `ServiceFailed`, which is not fatal: a WAV header, half a sample, or no
    sound at all, or silence alone. An error that names no context ends the link, and so does a
    service that owes sound and says nothing for `quiet_seconds` (`TIMEOUT`).

    The key is `api_key`, or `CARTESIA_API_KEY` at the time of connecting. `endpoint` is the address
    without a path; `http` and `https` are taken as well. `version` is that of the service's
    interface. Raises `ConfigurationError` for what makes no sense. Connecting raises `Unsupported`
    for a speed or volume out of range, `Denied` without a valid key, `Rejected`, `Overloaded`, or
    `Unreachable`, within `connect_seconds`. A model or a voice that does not exist is told by
    `ServiceFailed` when there is text.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        voice: str = DEFAULT_VOICE,
        max_buffer_delay_ms: int = 0,
        pronunciation_dict_id: str | None = None,
        version: str = VERSION,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            max_buffer_delay_ms=max_buffer_delay_ms,
            pronunciation_dict_id=pronunciation_dict_id,
            version=version,
            quiet_seconds=quiet_seconds,
        )
        self._api_key = api_key
        self._endpoint = endpoint or ENDPOINT
        websocket_url(self._endpoint, "")
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = CAPABILITIES

    @asynccontextmanager
    async def connect(
        self, options: TtsOptions, /
    ) -> AsyncGenerator[OwingLink[TtsCommand, TtsEvent]]:
        """Open a voice; nothing is configured before there is text."""
        refuse_unsupported_tts(options, self.capabilities, self.name)
        # Checked before the wire is touched.
        request_of(options, self._settings)
        codec = SonicCodec(
            options,
            self._settings,
            prefix=uuid.uuid4().hex[:12],
            now=asyncio.get_running_loop().time,
        )
        opening = self._channel()
        async with connected(codec, opening, ready_seconds=self._connect_seconds) as link:
            yield link

    async def voices(self) -> tuple[Voice, ...]:
        """The voices that the key may use, by HTTP; needs the extra `cartesia`.

        Raises `MissingExtra`, `Denied`, `Rejected`, `Overloaded`, `Unreachable`, or
        `BrokenProtocol`. Cancelling is safe.
        """
        return await fetch_voices(
            self._endpoint,
            key=key_of(self._api_key),
            version=self._settings.version,
            seconds=self._connect_seconds,
            ssl=self._ssl,
        )

    def _channel(self) -> AbstractAsyncContextManager[Channel]:
        return open_channel(
            websocket_url(self._endpoint, PATH),
            key=key_of(self._api_key),
            version=self._settings.version,
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
        )
