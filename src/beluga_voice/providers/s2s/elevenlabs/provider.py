"""Agents of ElevenLabs as a speech-to-speech provider.

An agent is made at ElevenLabs, with a model, a voice, tools and rules, and is called by its id. It
hears and answers by itself; what a call may change of it is in its security settings.
"""

import asyncio
import logging
import os
import ssl as tls
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from beluga_voice.errors import ConfigurationError, Denied, ErrorCode, Unreachable
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.elevenlabs._capabilities import ENDPOINT, NAME, capabilities
from beluga_voice.providers.s2s.elevenlabs._channel import QuietChannel
from beluga_voice.providers.s2s.elevenlabs._codec import ElevenLabsAgentsCodec
from beluga_voice.providers.s2s.elevenlabs._setup import (
    Settings,
    Variable,
    base_of,
    conversation_url,
    signed_url_url,
)
from beluga_voice.providers.s2s.elevenlabs._signed_url import fetch_signed_url
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

KEY_VARIABLE = "ELEVENLABS_API_KEY"
MAX_AUDIO_BYTES = 480_000
"""Ten seconds of the person's sound, at 24 kHz, may wait for a slow connection."""

log = logging.getLogger(__name__)

type Authentication = Literal["signed_url", "header", "none"] | Callable[[], Awaitable[str]]

_WAYS = ("signed_url", "header", "none")


class ElevenLabsAgents:
    """Speech to speech by an agent of ElevenLabs; `model` is its id.

    The service finds the turns and stops when it is interrupted. It cannot be told to stop or what
    was heard, so after an interruption from here the rest of a response is dropped.

    Tools are set up at the agent, as client tools: those of a session answer its calls by their
    names, and their descriptions are not sent. The agent should send the events in
    `_capabilities.CLIENT_EVENTS`; `client_events` asks for others, where the agent allows it.

    With `authentication="signed_url"` the key is used to ask for an address that lets one call in,
    which agents with authentication need; with `"header"` it travels in a header of the call
    itself; `"none"` is for agents that anybody may call; a function is awaited for such an address.
    The key is `api_key`, or `ELEVENLABS_API_KEY` at the time of connecting. `endpoint` is scheme
    and host; `http` and `https` are taken as well.

    `input_format` is how the agent is set up to hear, by ElevenLabs' name for it (`ulaw_8000`).
    How it is in truth, it says at the beginning; another than given costs a conversion.

    `first_message` is what the agent says first, "" nothing; `llm` names another model. Voice
    settings are 0 to 1, `speed` 0.7 to 1.2. `llm_extra_body` goes to an agent's own model server,
    and may hold a temperature. These, voice, language and instructions are overrides, and the agent
    has to allow each that is given. After `response_gap_ms` without sound a response counts as
    complete, where the agent does not say so.

    A new link in a conversation is told what was said as context, and the agent's first message is
    not heard again. Where a line brings no sound, the service is given silence, because after a
    minute without either it hangs up.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown agent or an override that is not allowed, `Overloaded`,
    `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = "",
        *,
        api_key: str | None = None,
        authentication: Authentication = "signed_url",
        endpoint: str | None = None,
        input_format: str = "pcm_16000",
        branch_id: str | None = None,
        environment: str | None = None,
        voice: str | None = None,
        language: str | None = None,
        first_message: str | None = None,
        llm: str | None = None,
        stability: float | None = None,
        similarity_boost: float | None = None,
        speed: float | None = None,
        keywords: Sequence[str] = (),
        client_events: Sequence[str] | None = None,
        dynamic_variables: Mapping[str, Variable] | None = None,
        llm_extra_body: Mapping[str, Any] | None = None,
        user_id: str | None = None,
        response_gap_ms: int = 1500,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        if not callable(authentication) and authentication not in _WAYS:
            known = ", ".join(_WAYS)
            raise ConfigurationError(f"authentication is one of {known}, or a function", op=NAME)
        self._settings = Settings(
            agent_id=model,
            input_format=input_format,
            branch_id=branch_id,
            environment=environment,
            voice=voice,
            language=language,
            first_message=first_message,
            llm=llm,
            stability=stability,
            similarity_boost=similarity_boost,
            speed=speed,
            keywords=tuple(keywords),
            client_events=None if client_events is None else tuple(client_events),
            dynamic_variables=dict(dynamic_variables or {}),
            llm_extra_body=dict(llm_extra_body or {}),
            user_id=user_id,
            response_gap_ms=response_gap_ms,
        )
        self._base = base_of(endpoint or ENDPOINT)
        self._api_key = api_key
        self._authentication = authentication
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._links = 0
        self._advice = Advice(
            denied=f"check the key and what it may do: {KEY_VARIABLE}, or api_key",
            rejected=f"check the id of the agent ({model!r}) and the settings",
        )
        self.name = NAME
        self.capabilities = capabilities(input_format)

    @asynccontextmanager
    async def connect(
        self, options: S2sOptions, /
    ) -> AsyncGenerator[WireLink[S2sCommand, S2sEvent]]:
        """Call the agent; it has taken the configuration when this is entered."""
        if options.tools and not self._links:
            names = ", ".join(tool.name for tool in options.tools)
            log.info("%s: the agent has to have client tools of these names: %s", NAME, names)
        self._links += 1
        codec = ElevenLabsAgentsCodec(options, self._settings, self.capabilities, link=self._links)
        wire: WireProvider[S2sOptions, S2sCommand, S2sEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            lambda _: self._channel(codec),
            max_audio_bytes=MAX_AUDIO_BYTES,
            is_ready=lambda event: isinstance(event, LinkReady),
            advice=self._advice,
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link

    @asynccontextmanager
    async def _channel(self, codec: ElevenLabsAgentsCodec) -> AsyncGenerator[QuietChannel]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._connect_seconds
        url, headers = await self._address()
        async with connect_websocket(
            url,
            headers=headers,
            connect_seconds=max(deadline - loop.time(), 0.001),
            ssl=self._ssl if url.startswith("wss:") else None,
            provider=self.name,
            advice=self._advice,
        ) as channel:
            gap_seconds = self._settings.response_gap_ms / 1000
            yield QuietChannel(channel, codec, gap_seconds=gap_seconds)

    async def _address(self) -> tuple[str, dict[str, str]]:
        """Where to call, and with which headers."""
        way = self._authentication
        if callable(way):
            try:
                async with asyncio.timeout(self._connect_seconds):
                    return await way(), {}
            except TimeoutError as error:
                message = f"the signed address was not there in {self._connect_seconds:g} s"
                raise Unreachable(message, op="connect", code=ErrorCode.TIMEOUT) from error
        if way == "none":
            return conversation_url(self._base, self._settings), {}
        key = self._api_key or os.environ.get(KEY_VARIABLE, "")
        if not key:
            raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op="connect")
        if not (key.isascii() and key.isprintable()):
            raise Denied("the key holds what no key holds; check api_key", op="connect")
        if way == "header":
            return conversation_url(self._base, self._settings), {"xi-api-key": key}
        address = await fetch_signed_url(
            signed_url_url(self._base, self._settings),
            key,
            seconds=self._connect_seconds,
            ssl=self._ssl,
            advice=self._advice,
        )
        return address, {}
