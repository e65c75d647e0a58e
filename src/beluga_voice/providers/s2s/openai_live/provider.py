"""OpenAI GPT-Live as a speech-to-speech provider."""

import os
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.errors import Denied
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.openai_live._capabilities import (
    DEFAULT_FORMAT,
    DEFAULT_MODEL,
    ENDPOINT,
    capabilities,
)
from beluga_voice.providers.s2s.openai_live._codec import OpenAILiveCodec
from beluga_voice.providers.s2s.openai_live._options import (
    NAME,
    ResponsesDelegation,
    Settings,
    url_of,
)
from beluga_voice.providers.s2s.openai_live._pump import LiveChannel, LiveLink, parting
from beluga_voice.transports.failures import advice_for
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireProvider

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_AUDIO_BYTES = 480_000
"""Ten seconds of the person's sound may wait for a slow connection."""


class OpenAILive:
    """Speech in and speech out at once, by OpenAI's Live API.

    The model hears while it speaks, stops by itself when it is spoken to, and may stay silent.
    Nothing can cancel what it says: an interruption of ours only keeps it from the person. The key
    is `api_key`, or `OPENAI_API_KEY` at the time of connecting. `endpoint` is the whole address;
    `http` and `https` are taken as well.

    Work that the model does not do itself goes to our agent (`DelegationRequested`), or, with a
    `ResponsesDelegation`, to another model of the service, which has the tools: then there are
    tools and no delegation. `acknowledgement_delay_ms` is how long the model waits before it says
    that something is being done; its own is 0.

    `format` is that of the sound both ways: PCM at 24 or 16 kHz, mu-law or A-law. `voice` is a name
    (`marin`, `cedar`, ...) or the id of one's own (`voice_...`). `store` keeps the session at the
    service; `safety_identifier` is a stable name of the end user that says nothing about them.

    A minute costs $0.05, silence included, and sound must flow all the time: a line that gives none
    is given silence. Usage comes as `audio_seconds` of session. How long a session may last, it
    says itself (`LinkReady.expires_at`).

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown model or settings the service refuses, `Overloaded`,
    `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        voice: str | None = None,
        format: AudioFormat = DEFAULT_FORMAT,
        delegation: Literal["client"] | ResponsesDelegation = "client",
        acknowledgement_delay_ms: int | None = None,
        store: bool | None = None,
        safety_identifier: str | None = None,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            format=format,
            delegation=delegation,
            acknowledgement_delay_ms=acknowledgement_delay_ms,
            store=store,
            safety_identifier=safety_identifier,
        )
        self._api_key = api_key
        self._url = url_of(endpoint or ENDPOINT)
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._links = 0
        self._advice = advice_for(key=f"{KEY_VARIABLE}, or api_key", model=model)
        self.name = NAME
        self.capabilities = capabilities(format, has_tools=self._settings.backend is not None)

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[LiveLink]:
        """Open a session; the service has taken the configuration when it is entered."""
        self._links += 1
        codec = OpenAILiveCodec(options, self._settings, self.capabilities, link=self._links)
        wires: WireProvider[S2sOptions, S2sCommand, S2sEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            lambda _: self._channel(codec),
            max_audio_bytes=MAX_AUDIO_BYTES,
            is_ready=lambda event: isinstance(event, LinkReady),
            advice=self._advice,
            ready_seconds=self._connect_seconds,
        )
        async with wires.connect(options) as link:
            live = LiveLink(link, codec)
            with live.pumping():
                yield live

    @asynccontextmanager
    async def _channel(self, codec: OpenAILiveCodec) -> AsyncGenerator[LiveChannel]:
        key = self._api_key or os.environ.get(KEY_VARIABLE, "")
        if not key:
            raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op="connect")
        opening = connect_websocket(
            self._url,
            headers={"Authorization": f"Bearer {key}"},
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
            provider=self.name,
            advice=self._advice,
        )
        async with opening as channel, parting(channel, codec) as live:
            yield live
