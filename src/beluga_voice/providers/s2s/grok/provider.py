"""xAI Grok Voice Agent as a speech-to-speech provider.

A conversation is one websocket, for about two hours. It can be continued on another one by the id
that `ResumptionChanged` names, for half an hour after the last that was said. An id that the
service does not know any more is no failure: the conversation begins anew there, and is told what
was said.
"""

import asyncio
import logging
import os
import ssl as tls
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, Rejected
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.grok._capabilities import (
    DEFAULT_MODEL,
    ENDPOINT,
    MAX_CONNECTION_SECONDS,
    capabilities,
)
from beluga_voice.providers.s2s.grok._codec import GrokCodec
from beluga_voice.providers.s2s.grok._errors import WRONG_KEY
from beluga_voice.providers.s2s.grok._options import (
    NAME,
    Effort,
    ServerTool,
    ServerVad,
    Settings,
)
from beluga_voice.providers.s2s.grok._resumption import Conversations
from beluga_voice.providers.s2s.realtime_dialect.settings import url_of
from beluga_voice.transports.failures import advice_for
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

KEY_VARIABLE = "XAI_API_KEY"
MAX_AUDIO_BYTES = 480_000
"""Ten seconds of the person's sound may wait for a slow connection."""

log = logging.getLogger(__name__)


class Grok:
    """Speech in, speech out, by xAI's Voice Agent API.

    The service ends turns by itself, by `turn_detection`, and answers each; or we do
    (`S2sOptions.turn_owner`), which integrations found to be unstable. Words of the application
    (`Say`) are spoken exactly. The key is `api_key`, or `XAI_API_KEY` at the time of connecting.
    `endpoint` is the whole address without the model; `http` and `https` are taken as well.

    `voice` is a name (`eve`, `ara`, `rex`, `sal`, `leo`, ...) or the id of one's own. `keyterms`
    are words that are likely, to be understood better: 100 of 50 characters at most. `speed` is 0.7
    to 1.5. Without `reasoning_effort` the model thinks hard before it speaks (`high`); `none` is
    quicker. `pronunciations` says how words are spoken that are read wrongly. `server_tools` run at
    the service. Without `resumption` the service keeps nothing for a lost connection.

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
        turn_detection: ServerVad | None = None,
        keyterms: Sequence[str] = (),
        speed: float | None = None,
        reasoning_effort: Effort | None = None,
        pronunciations: Mapping[str, str] | None = None,
        server_tools: Sequence[ServerTool] = (),
        resumption: bool = True,
        max_connection_seconds: float = MAX_CONNECTION_SECONDS,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            turn_detection=turn_detection or ServerVad(),
            keyterms=tuple(keyterms),
            speed=speed,
            reasoning_effort=reasoning_effort,
            pronunciations=dict(pronunciations or {}),
            server_tools=tuple(server_tools),
            resumption=resumption,
        )
        self._api_key = api_key
        self._endpoint = endpoint or ENDPOINT
        url_of(self._endpoint, op=NAME)
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._links = 0
        self._advice = advice_for(key=f"{KEY_VARIABLE}, or api_key", model=model)
        self._conversations = Conversations()
        self.name = NAME
        self.capabilities = capabilities(
            resumption=resumption,
            max_connection_seconds=max_connection_seconds,
            silence_ms=self._settings.turn_detection.silence_duration_ms,
        )
        self._wire: WireProvider[S2sOptions, S2sCommand, S2sEvent] = WireProvider(
            self.name,
            self.capabilities,
            self._codec,
            self._channel,
            max_audio_bytes=MAX_AUDIO_BYTES,
            is_ready=lambda event: isinstance(event, LinkReady),
            advice=self._advice,
            ready_seconds=connect_seconds,
        )

    @asynccontextmanager
    async def connect(
        self, options: S2sOptions, /
    ) -> AsyncGenerator[WireLink[S2sCommand, S2sEvent]]:
        """Open a session; the service has taken the configuration when it is entered.

        With `options.resume` the service knows what was said, and `options.history` is for the case
        that it does not. An id that it refuses takes a second attempt, with its own time.
        """
        async with AsyncExitStack() as stack:
            try:
                link = await stack.enter_async_context(self._wire.connect(options))
            except Rejected as error:
                if options.resume is None:
                    raise
                log.info("the conversation cannot be resumed, and begins anew: %s", error)
                anew = replace(options, resume=None)
                link = await stack.enter_async_context(self._wire.connect(anew))
            yield link

    def _codec(self, options: S2sOptions) -> GrokCodec:
        self._links += 1
        return GrokCodec(
            options,
            self._settings,
            self.capabilities,
            now=asyncio.get_running_loop().time,
            conversations=self._conversations,
            link=self._links,
        )

    @asynccontextmanager
    async def _channel(self, options: S2sOptions) -> AsyncGenerator[WebSocketChannel]:
        key = self._api_key or os.environ.get(KEY_VARIABLE, "")
        if not key:
            raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op="connect")
        query = {"model": self._settings.model}
        if options.resume is not None:
            query["conversation_id"] = options.resume
        async with AsyncExitStack() as stack:
            opening = connect_websocket(
                url_of(self._endpoint, op=NAME, **query),
                headers={"Authorization": f"Bearer {key}"},
                connect_seconds=self._connect_seconds,
                ssl=self._ssl,
                provider=self.name,
                advice=self._advice,
            )
            try:
                channel = await stack.enter_async_context(opening)
            except Rejected as error:
                if _is_about_the_key(error):
                    message = f"the service does not know the key; {self._advice.denied}"
                    raise Denied(message, op="connect") from error
                raise
            yield channel


def _is_about_the_key(error: Rejected) -> bool:
    """A wrong key is refused like a wrong request; only the answer's words tell them apart."""
    refused = error.__cause__
    if not isinstance(refused, InvalidStatus):
        return False
    return WRONG_KEY in bytes(refused.response.body or b"").decode(errors="replace").lower()
