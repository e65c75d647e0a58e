"""Cartesia Ink as a speech-to-text provider."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import LinkReady, SttCommand, SttEvent
from beluga_voice.interfaces import Channel, SttOptions
from beluga_voice.providers.cartesia.channel import key_of, open_channel
from beluga_voice.providers.cartesia.link import OwingLink, connected
from beluga_voice.providers.cartesia.owing import OwingCodec
from beluga_voice.providers.cartesia.service import (
    ENDPOINT,
    KEY_VARIABLE,
    NAME,
    VERSION,
    check_version,
    websocket_url,
)
from beluga_voice.providers.stt.cartesia._capabilities import (
    DEFAULT_MODEL,
    KEEPALIVE_SECONDS,
    MANUAL_PATH,
    PHRASES,
    TURNS_PATH,
    WHISPER,
    capabilities,
)
from beluga_voice.providers.stt.cartesia._manual import ManualCodec
from beluga_voice.providers.stt.cartesia._options import Settings, TurnThresholds, query_of
from beluga_voice.providers.stt.cartesia._turns import TurnsCodec
from beluga_voice.support import refuse_unsupported_stt
from beluga_voice.transports.wire import READY_SECONDS


class CartesiaStt:
    """Speech into text, by Cartesia's Ink.

    There are two protocols. With *turns*, the service finds by itself where somebody begins and
    ends (`SpeechStarted`, `EndOfTurnLikely`, ...). It has no order to end an utterance, so
    `FinishUtterance` feeds it silence, a third of a second more than `thresholds.end_timeout_ms`;
    if the turn does not end within `finish_seconds`, what is known is final. Its clock is the
    sound, so a recording is sent as fast as it sounds. With `manual`, it transcribes when told to
    (`finalize`), gives word times, and takes recordings as fast as they come. `ink-2` has both, and
    turns unless told otherwise; `ink-whisper` is always manual.

    A service that owes the end of a turn or an answer for `quiet_seconds`, or says nothing to so
    much voice, is given up: `ServiceFailed` (timeout, fatal). An utterance that is not answered
    then, or when the connection is lost, is not answered at all. After `keepalive_seconds` without
    sound, a tenth of a second of silence is sent, because an idle connection is closed. That word
    times count from the beginning of the connection is not documented.

    The key is `api_key`, or `CARTESIA_API_KEY` at the time of connecting. `endpoint` is the address
    without a path; `http` and `https` are taken as well. `max_silence_seconds` and `min_volume` are
    for `ink-whisper`, which finalises by itself after a silence. `version` is that of the service's
    interface.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown model or settings the service refuses, `Overloaded`,
    `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""
    phrase_limits = PHRASES

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        manual: bool | None = None,
        thresholds: TurnThresholds | None = None,
        max_silence_seconds: float | None = None,
        min_volume: float | None = None,
        finish_seconds: float = 2.0,
        quiet_seconds: float = 10.0,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
        version: str = VERSION,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        is_manual = model.startswith(WHISPER) if manual is None else manual
        if is_manual and thresholds is not None:
            raise ConfigurationError("thresholds are for turns; without them, give none", op=NAME)
        self._settings = Settings(
            model=model,
            is_manual=is_manual,
            thresholds=thresholds or TurnThresholds(),
            max_silence_seconds=max_silence_seconds,
            min_volume=min_volume,
            finish_seconds=finish_seconds,
            quiet_seconds=quiet_seconds,
            keepalive_seconds=keepalive_seconds,
        )
        check_version(version)
        self._version = version
        self._api_key = api_key
        self._endpoint = endpoint or ENDPOINT
        websocket_url(self._endpoint, "")
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model, is_manual=is_manual)

    @asynccontextmanager
    async def connect(
        self, options: SttOptions, /
    ) -> AsyncGenerator[OwingLink[SttCommand, SttEvent]]:
        """Open a transcription; with turns, the service has greeted when it is entered."""
        refuse_unsupported_stt(options, self.capabilities, self.name)
        # Checked before the wire is touched.
        query_of(options, self._settings, self.capabilities)
        codec = self._codec(options)
        async with connected(
            codec,
            self._channel(options),
            ready_seconds=self._connect_seconds,
            is_ready=None if self._settings.is_manual else _is_ready,
        ) as link:
            yield link

    def _codec(self, options: SttOptions) -> OwingCodec[SttCommand, SttEvent]:
        now = asyncio.get_running_loop().time
        kind = ManualCodec if self._settings.is_manual else TurnsCodec
        return kind(options, self._settings, self.capabilities, now=now)

    def _channel(self, options: SttOptions) -> AbstractAsyncContextManager[Channel]:
        path = MANUAL_PATH if self._settings.is_manual else TURNS_PATH
        query = query_of(options, self._settings, self.capabilities)
        return open_channel(
            websocket_url(self._endpoint, path, query),
            key=key_of(self._api_key),
            version=self._version,
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
        )


def _is_ready(event: SttEvent) -> bool:
    return isinstance(event, LinkReady)
