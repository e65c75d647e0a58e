"""AssemblyAI as a speech-to-text provider: one websocket for each link."""

import asyncio
import os
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, LinkLost, ProviderError
from beluga_voice.events import LinkReady, SttCommand, SttEvent
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.advice import key_advice
from beluga_voice.providers.stt.assemblyai._capabilities import (
    API_VERSION,
    DEFAULT_MODEL,
    KEY_VARIABLE,
    NAME,
    PHRASES,
    capabilities,
)
from beluga_voice.providers.stt.assemblyai._codec import AssemblyAiCodec
from beluga_voice.providers.stt.assemblyai._options import Settings, base_of, url_of
from beluga_voice.providers.stt.assemblyai._wire import TERMINATE
from beluga_voice.providers.ticking import TickingChannel
from beluga_voice.support import refuse_unsupported_stt
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

GOODBYE_SECONDS = 0.5
MAX_REASON = 300


class AssemblyAi:
    """Speech into text by AssemblyAI's universal streaming (version 3).

    The service finds turns and says when one has ended (`EndOfTurnLikely`), so silence is sent to
    it too, and never faster than it is spoken. `FinishUtterance` tells it to end the turn. It does
    not answer that where no turn is open: the utterance is then answered with what is known, at
    once if only silence followed its last word, else after `settle_seconds` without news.

    `universal-streaming-english` and `-multilingual` write the end of a turn twice, plain and
    formatted: the formatted words are the answer, without `wants_punctuation` the plain ones. All
    other models format at once. `end_of_turn_confidence` is 0 to 1; a turn ends after
    `min_turn_silence_ms` if the service is sure, after `max_turn_silence_ms` anyhow;
    `vad_threshold` is 0 to 1. What is `None` is as the service has it. A session lasts three hours
    and is paid for as long as it is open: leaving a link ends it (`Terminate`) in every case in
    which the connection still stands.

    Words that are not final `answer_seconds` after an utterance ended end the link (`TIMEOUT`); so
    does a service that says nothing to `quiet_seconds` of sound (`RETRYABLE`).

    The key is `api_key`, or `ASSEMBLYAI_API_KEY` at the time of connecting. `endpoint` is a host of
    the service, such as `wss://streaming.eu.assemblyai.com`, or the whole address without settings.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for settings the service refuses, `Overloaded`, `Unreachable`, or `Silent`,
    within `connect_seconds`.
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
        end_of_turn_confidence: float | None = None,
        min_turn_silence_ms: int | None = None,
        max_turn_silence_ms: int | None = None,
        vad_threshold: float | None = None,
        answer_seconds: float = 10.0,
        settle_seconds: float = 1.0,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            end_of_turn_confidence=end_of_turn_confidence,
            min_turn_silence_ms=min_turn_silence_ms,
            max_turn_silence_ms=max_turn_silence_ms,
            vad_threshold=vad_threshold,
            answer_seconds=answer_seconds,
            settle_seconds=settle_seconds,
            quiet_seconds=quiet_seconds,
        )
        base_of(endpoint)
        self._endpoint = endpoint
        self._api_key = api_key
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model)

    @asynccontextmanager
    async def connect(
        self, options: SttOptions, /
    ) -> AsyncGenerator[WireLink[SttCommand, SttEvent]]:
        """Open a session; it has begun when this is entered."""
        refuse_unsupported_stt(options, self.capabilities, self.name)
        changed = asyncio.Event()
        codec = AssemblyAiCodec(
            options,
            self._settings,
            self.capabilities,
            now=asyncio.get_running_loop().time,
            changed=changed.set,
        )

        @asynccontextmanager
        async def channel(asked: SttOptions) -> AsyncGenerator[TickingChannel]:
            url = url_of(self._endpoint, asked, self._settings, self.capabilities)
            async with _opened(url, self._key(), self._connect_seconds, self._ssl) as opened:
                yield TickingChannel(opened, codec, changed)

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

    def _key(self) -> str:
        key = self._api_key or os.environ.get(KEY_VARIABLE, "")
        if not key:
            message = f"there is no key: set {KEY_VARIABLE}, or give api_key"
            raise Denied(message, op="connect", provider=NAME)
        if not (key.isascii() and key.isprintable()):
            message = "the key holds what no key holds; check api_key"
            raise Denied(message, op="connect", provider=NAME)
        return key


@asynccontextmanager
async def _opened(
    url: str, key: str, seconds: float, ssl: tls.SSLContext | None
) -> AsyncGenerator[WebSocketChannel]:
    """A websocket that is told goodbye, because the session costs until it is."""
    opening = connect_websocket(
        url,
        # The key as it is, without a word before it.
        headers={"Authorization": key, "AssemblyAI-Version": API_VERSION},
        connect_seconds=seconds,
        ssl=ssl if url.startswith("wss:") else None,
        provider=NAME,
        advice=Advice(denied=key_advice(KEY_VARIABLE)),
    )
    async with AsyncExitStack() as stack:
        try:
            channel = await stack.enter_async_context(opening)
        except ProviderError as error:
            raise _explained(error) from error.__cause__
        try:
            yield channel
        finally:
            if channel.close_code is None:
                with suppress(TimeoutError, LinkLost):
                    async with asyncio.timeout(GOODBYE_SECONDS):
                        await channel.send(TERMINATE)


class _Refusal(msgspec.Struct):
    error: str = ""


def _explained(error: ProviderError) -> ProviderError:
    """The same error with the service's own reason, if a refused handshake gave one."""
    refused = error.__cause__
    if not isinstance(refused, InvalidStatus) or isinstance(error, Denied):
        return error  # what is said about a key might quote it
    try:
        reason = msgspec.json.decode(refused.response.body or b"", type=_Refusal).error
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        reason = ""
    if reason:
        error.message = f"{error.message} ({reason[:MAX_REASON]})"
        error.args = (error.message,)
    return error
