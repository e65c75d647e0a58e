"""OpenAI Realtime as a speech-to-speech provider."""

import logging
import os
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

from beluga_voice.errors import Denied
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.openai_realtime._capabilities import (
    DEFAULT_MODEL,
    ENDPOINT,
    OWN_VOICE,
    VOICES,
    capabilities,
)
from beluga_voice.providers.s2s.openai_realtime._codec import OpenAIRealtimeCodec
from beluga_voice.providers.s2s.openai_realtime._options import (
    NAME,
    SemanticVad,
    ServerVad,
    Settings,
    Transcription,
    url_of,
)
from beluga_voice.support import unknown_voice
from beluga_voice.transports.failures import advice_for
from beluga_voice.transports.websocket import WebSocketChannel, connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

KEY_VARIABLE = "OPENAI_API_KEY"
MAX_AUDIO_BYTES = 480_000
"""Ten seconds of the person's sound may wait for a slow connection."""

log = logging.getLogger(__name__)


class OpenAIRealtime:
    """Speech in, speech out, by OpenAI's Realtime API.

    The service ends turns by itself, by `turn_detection`, unless the session's options leave that
    to the framework. The key is `api_key`, or `OPENAI_API_KEY` at the time of connecting.
    `endpoint` is the whole address without the model; `http` and `https` are taken as well.

    `transcription=None` spares its cost, and leaves the history without the person's words.
    `voice` is a name (`marin`, `cedar`, ...) or the id of one's own (`voice_...`). `speed` is 0.25
    to 1.5. `reasoning_effort` and `parallel_tool_calls` are for the models since `gpt-realtime-2`.

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
        turn_detection: ServerVad | SemanticVad | None = None,
        transcription: Transcription | None = Transcription(),  # noqa: B008, it is frozen
        noise_reduction: Literal["near_field", "far_field"] | None = None,
        speed: float | None = None,
        max_output_tokens: int | None = None,
        reasoning_effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None,
        parallel_tool_calls: bool | None = None,
        tool_choice: Literal["auto", "none", "required"] | None = None,
        organization: str | None = None,
        project: str | None = None,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            turn_detection=turn_detection or ServerVad(),
            transcription=transcription,
            noise_reduction=noise_reduction,
            speed=speed,
            max_output_tokens=max_output_tokens,
            reasoning_effort=reasoning_effort,
            parallel_tool_calls=parallel_tool_calls,
            tool_choice=tool_choice,
        )
        self._api_key = api_key
        self._url = url_of(endpoint or ENDPOINT, model)
        self._organization = organization
        self._project = project
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._links = 0
        self._advice = advice_for(key=f"{KEY_VARIABLE}, or api_key", model=model)
        self.name = NAME
        self.capabilities = capabilities(
            has_transcripts=transcription is not None,
            is_semantic=isinstance(turn_detection, SemanticVad),
            silence_ms=getattr(turn_detection, "silence_duration_ms", None),
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
        """Open a session; the service has taken the configuration when it is entered."""
        voice = options.voice or self._settings.voice
        is_own = voice is not None and voice.startswith(OWN_VOICE)
        if not self._links and not is_own and (told := unknown_voice(voice, VOICES)):
            log.warning("%s: %s", self.name, told)
        async with self._wire.connect(options) as link:
            yield link

    def _codec(self, options: S2sOptions) -> OpenAIRealtimeCodec:
        self._links += 1
        return OpenAIRealtimeCodec(options, self._settings, self.capabilities, link=self._links)

    def _channel(self, options: S2sOptions) -> AbstractAsyncContextManager[WebSocketChannel]:
        key = self._api_key or os.environ.get(KEY_VARIABLE, "")
        if not key:
            raise Denied(f"there is no key: set {KEY_VARIABLE}, or give api_key", op="connect")
        headers = {"Authorization": f"Bearer {key}"}
        if self._organization is not None:
            headers["OpenAI-Organization"] = self._organization
        if self._project is not None:
            headers["OpenAI-Project"] = self._project
        return connect_websocket(
            self._url,
            headers=headers,
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
            provider=self.name,
            advice=self._advice,
        )
