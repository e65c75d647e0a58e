"""Deepgram as a speech-to-text provider: Nova in segments, Flux in turns, by the model's name.

A connection is paid for as long as it is open, or for the sound it is sent, and counts against a
limit of connections at once: the service refuses one too many with HTTP status 429.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.events import LinkReady, SttCommand, SttEvent
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.deepgram.channel import (
    KEY_VARIABLE,
    HeardChannel,
    address_of,
    open_deepgram,
)
from beluga_voice.providers.stt.deepgram._capabilities import (
    DEFAULT_MODEL,
    ENDPOINTING_MS,
    FLUX_MODELS,
    FLUX_PATH,
    NAME,
    NOVA_PATH,
    PHRASES,
    capabilities,
)
from beluga_voice.providers.stt.deepgram._flux import FluxCodec
from beluga_voice.providers.stt.deepgram._listening import ListeningCodec
from beluga_voice.providers.stt.deepgram._nova import NovaCodec
from beluga_voice.providers.stt.deepgram._options import Settings
from beluga_voice.providers.stt.deepgram._wire import CLOSE_STREAM
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider


class Deepgram:
    """Speech to text by Deepgram.

    `flux-general-en` and `flux-general-multi` find turns, and say when they may be over
    (`EndOfTurnLikely`, also eagerly with `eager_eot_threshold`, and `TurnContinued`); they have to
    be sent silence too. All other models, such as `nova-3`, work in segments, and tell pauses. The
    key is `api_key`, or `DEEPGRAM_API_KEY` at the time of connecting. `endpoint` is a host of the
    service, such as `wss://api.eu.deepgram.com`, or the whole address without settings.

    For Nova: `endpointing_ms` is the silence that ends a segment (0 switches it off),
    `utterance_end_ms` the time without words that ends a turn (from 1000), and `smart_format`
    writes numbers, dates and the like as people do. For Flux: `eot_threshold` (0.5 to 1, its own:
    0.7) and `eager_eot_threshold` (0.3 to 0.9) say how sure it has to be that a turn is over, and
    after `eot_timeout_ms` (500 to 60,000) of silence it is over anyhow. `numerals`, `tag` and
    `mip_opt_out` are as the service has them. Other readings (`SttOptions.alternatives`) come from
    the families `base`, `enhanced` and the first `nova`; later ones give one.

    A service that gets no further for `finalize_seconds` although an utterance waits for its words,
    or says nothing for `quiet_seconds` although sound flows, has failed:
    `ServiceFailed`, and the link ends. An utterance is answered with what is known where the
    service owes no more.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown model or settings the service refuses, with its reason,
    `Overloaded`, `Unreachable`, or `Silent`, within `connect_seconds`.
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
        endpointing_ms: int | None = None,
        utterance_end_ms: int | None = None,
        smart_format: bool = False,
        numerals: bool = False,
        eot_threshold: float | None = None,
        eager_eot_threshold: float | None = None,
        eot_timeout_ms: int | None = None,
        tag: str | None = None,
        mip_opt_out: bool = False,
        finalize_seconds: float = 3.0,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        if endpointing_ms is None and model not in FLUX_MODELS:
            endpointing_ms = ENDPOINTING_MS
        self._settings = Settings(
            model=model,
            endpointing_ms=endpointing_ms,
            utterance_end_ms=utterance_end_ms,
            smart_format=smart_format,
            numerals=numerals,
            eot_threshold=eot_threshold,
            eager_eot_threshold=eager_eot_threshold,
            eot_timeout_ms=eot_timeout_ms,
            tag=tag,
            mip_opt_out=mip_opt_out,
            finalize_seconds=finalize_seconds,
            quiet_seconds=quiet_seconds,
        )
        path = FLUX_PATH if self._settings.is_flux else NOVA_PATH
        self._address = address_of(endpoint, path, op=NAME)
        self._api_key = api_key
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model)

    @asynccontextmanager
    async def connect(
        self, options: SttOptions, /
    ) -> AsyncGenerator[WireLink[SttCommand, SttEvent]]:
        """Open a transcription."""
        codec = self._codec(options)

        @asynccontextmanager
        async def channel(_: SttOptions) -> AsyncGenerator[HeardChannel]:
            async with open_deepgram(
                self._address,
                codec.query,
                codec,
                api_key=self._api_key,
                goodbye=CLOSE_STREAM,
                seconds=self._connect_seconds,
                ssl=self._ssl,
                provider=NAME,
            ) as opened:
                yield opened

        wire: WireProvider[SttOptions, SttCommand, SttEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            channel,
            is_ready=lambda event: isinstance(event, LinkReady),
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link

    def _codec(self, options: SttOptions) -> ListeningCodec:
        kind = FluxCodec if self._settings.is_flux else NovaCodec
        now = asyncio.get_running_loop().time
        return kind(options, self._settings, self.capabilities, now=now)
