"""Google Gemini Live as a provider, over the developer API.

A conversation is one websocket, for about ten minutes; then the service ends it, and says so a
minute before. It can be continued on another one with the handle that `ResumptionChanged` names,
for two hours. A handle that the service does not take any more is no failure: the conversation
begins anew there, and is told what was said.
"""

import logging
import os
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace

from beluga_voice.errors import ConfigurationError, Denied, Rejected
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import Capabilities, S2sOptions
from beluga_voice.providers.s2s.gemini_live._capabilities import (
    DEFAULT_MODEL,
    VOICES,
    capabilities_of,
)
from beluga_voice.providers.s2s.gemini_live._codec import GeminiLiveCodec
from beluga_voice.providers.s2s.gemini_live._setup import (
    Sensitivity,
    Settings,
    ThinkingLevel,
    base_of,
)
from beluga_voice.support import unknown_voice
from beluga_voice.transports.failures import advice_for
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

ENDPOINT = "wss://generativelanguage.googleapis.com"
KEY_VARIABLES = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
"""Where a key is looked for, in this order, which is that of Google's own SDK."""

log = logging.getLogger(__name__)


class GeminiLive:
    """Speech to speech by Gemini Live.

    The service finds the turns, or we do (`S2sOptions.turn_owner`). It gives no events when the
    person's voice begins or ends, cannot be told to stop or what was heard, and answers each turn.

    `api_key` is looked up in the environment at each connection if it is not given, and travels in
    a header. `endpoint` is scheme, host and port (`http` and `https` are taken as well), and
    `api_version` the version in the path.
    `ssl` is for services whose certificate this machine does not know.

    `start_sensitivity`, `end_sensitivity`, `prefix_padding_ms` and `silence_ms` tune the service's
    detector; `allow_interruptions` is whether a voice stops a response. Without `compression` a
    conversation ends after about 15 minutes. `tools_wait` is whether the model waits for tools;
    it does where it can. Voice, language, temperature and token limit hold where a session's
    options have none.

    Raises `ConfigurationError` for what makes no sense, and `Unsupported` for what the model cannot
    do. Connecting raises `Denied` without a valid key, `Rejected` for an unknown model or settings
    the service refuses, `Overloaded`, `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = KEY_VARIABLES
    """One of them has to be set, unless the credentials are given."""

    name = "gemini_live"
    usage_follows = True
    """What a response cost is told when it would have been heard."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        api_version: str = "v1beta",
        voice: str | None = None,
        language: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_output_tokens: int | None = None,
        thinking_level: ThinkingLevel | None = None,
        start_sensitivity: Sensitivity | None = None,
        end_sensitivity: Sensitivity | None = None,
        prefix_padding_ms: int | None = None,
        silence_ms: int | None = None,
        allow_interruptions: bool = True,
        compression: bool = True,
        compression_trigger_tokens: int | None = None,
        resumption: bool = True,
        tools_wait: bool | None = None,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            language=language,
            temperature=temperature,
            top_p=top_p,
            max_output_tokens=max_output_tokens,
            thinking_level=thinking_level,
            start_sensitivity=start_sensitivity,
            end_sensitivity=end_sensitivity,
            prefix_padding_ms=prefix_padding_ms,
            silence_ms=silence_ms,
            allow_interruptions=allow_interruptions,
            compression=compression,
            compression_trigger_tokens=compression_trigger_tokens,
            resumption=resumption,
            tools_wait=tools_wait,
        )
        base = base_of(endpoint or ENDPOINT)
        if api_version not in ("v1", "v1beta", "v1alpha"):
            raise ConfigurationError("api_version is v1, v1beta or v1alpha", op=self.name)
        self._url = (
            f"{base}/ws/google.ai.generativelanguage.{api_version}"
            ".GenerativeService.BidiGenerateContent"
        )
        self._api_key = api_key
        self._connect_seconds = connect_seconds
        self._ssl = ssl
        self._links = 0
        keys = " or ".join(KEY_VARIABLES)
        self._advice = advice_for(key=f"{keys}, or api_key", model=model)
        self._wires: WireProvider[S2sOptions, S2sCommand, S2sEvent] = WireProvider(
            self.name,
            self.capabilities,
            self._codec,
            self._channel,
            is_ready=lambda event: isinstance(event, LinkReady),
            advice=self._advice,
            ready_seconds=connect_seconds,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What the model can do."""
        settings = self._settings
        return capabilities_of(settings.profile, resumption=settings.resumption)

    @asynccontextmanager
    async def connect(
        self, options: S2sOptions, /
    ) -> AsyncGenerator[WireLink[S2sCommand, S2sEvent]]:
        """Open a link, configured and ready.

        With `options.resume` the service knows what was said, and `options.history` is for the case
        that it does not.
        """
        if not self._settings.resumption:
            options = replace(options, resume=None)
        voice = options.voice or self._settings.voice
        if not self._links and (told := unknown_voice(voice, VOICES)):
            log.warning("%s: %s", self.name, told)
        async with AsyncExitStack() as stack:
            try:
                link = await stack.enter_async_context(self._wires.connect(options))
            except Rejected as error:
                if options.resume is None:
                    raise
                log.info("the conversation cannot be resumed, and begins anew: %s", error)
                options = replace(options, resume=None)
                link = await stack.enter_async_context(self._wires.connect(options))
            yield link

    def _codec(self, options: S2sOptions) -> GeminiLiveCodec:
        self._links += 1
        return GeminiLiveCodec(options, self._settings, link=self._links)

    def _channel(self, options: S2sOptions) -> AbstractAsyncContextManager[WebSocketChannel]:
        found = (os.environ.get(name) for name in KEY_VARIABLES)
        key = self._api_key or next((one for one in found if one), None)
        if not key:
            names = " or ".join(KEY_VARIABLES)
            raise Denied(f"there is no key: set {names}, or give api_key", op="connect")
        return connect_websocket(
            self._url,
            headers={"x-goog-api-key": key},
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
            provider=self.name,
            advice=self._advice,
        )
