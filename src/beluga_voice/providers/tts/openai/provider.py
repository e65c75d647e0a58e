"""OpenAI's REST speech as a text-to-speech provider: one request for each sentence."""

import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.interfaces import TtsOptions, Voice
from beluga_voice.providers.openai.account import KEY_VARIABLE, NAME, base_of, headers_of
from beluga_voice.providers.openai.requests import check_model, open_client
from beluga_voice.providers.requests import answer
from beluga_voice.providers.tts.openai._capabilities import (
    DEFAULT_MODEL,
    DEFAULT_VOICE,
    PATH,
    PLAIN_MODELS,
    RATE,
    SPEEDS,
    VOICES,
    capabilities,
)
from beluga_voice.providers.tts.openai._link import SpeechLink
from beluga_voice.support import refuse_unsupported_tts

if TYPE_CHECKING:
    import httpx


class OpenAITts:
    """Text into speech by `POST /audio/speech`, for servers that speak OpenAI's protocol.

    OpenAI shuts down all models of this route on 2027-01-06 (announced in the types of its SDK,
    read 2026-11-21). Use it for compatible servers, such as local ones: give their `endpoint`
    (`http://localhost:8880/v1`), `model` and `voice`, and any `api_key` if they want none.

    Each sentence is a request of its own, and the next one is asked for while one sounds; text that
    ends like a sentence is spoken when nothing follows for 50 ms, any other after 500 ms. Sound
    comes as server-sent events or raw, as the server answers. `rate` is that of its PCM in hertz;
    OpenAI's is 24,000.
    `TtsOptions.style` are instructions on how to speak, which `tts-1` and `tts-1-hd` do not take;
    `speed` is 0.25 to 4. A voice is a name, or an id (`voice_...`) of one's own.

    Connecting asks whether the key and the model are good, where the server has a page for that;
    it raises `Denied`, `Rejected`, `Overloaded` or `Unreachable` within `connect_seconds`, and
    `MissingExtra` without the extra `openai`. A server that goes quiet for `quiet_seconds` in an
    answer has failed (`TIMEOUT`), and the link ends. The key is `api_key`, or `OPENAI_API_KEY` at
    the time of connecting. Raises `ConfigurationError` for an address that is none.
    """

    extra = "openai"
    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        voice: str = DEFAULT_VOICE,
        rate: int = RATE,
        organization: str | None = None,
        project: str | None = None,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = 8.0,
    ) -> None:
        if not model or not voice:
            raise ConfigurationError("give a model and a voice", op=NAME)
        self._model = model
        self._api_key = api_key
        self._base = base_of(endpoint, is_websocket=False)
        self._voice = voice
        self._rate = rate
        self._organization = organization
        self._project = project
        self._quiet_seconds = quiet_seconds
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model, rate=rate)

    async def voices(self) -> tuple[Voice, ...]:
        """The voices OpenAI has; it has no request for them, and other servers have others."""
        return VOICES

    @asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> AsyncGenerator[SpeechLink]:
        """Open a link, which keeps its connections between requests."""
        refuse_unsupported_tts(options, self.capabilities, self.name)
        if not SPEEDS[0] <= options.speed <= SPEEDS[1]:
            message = f"settings: speed {options.speed} is outside {SPEEDS[0]} to {SPEEDS[1]}"
            raise Unsupported(message, op="connect")
        headers = headers_of(self._api_key, organization=self._organization, project=self._project)
        async with open_client(
            self._base,
            headers,
            connect_seconds=self._connect_seconds,
            quiet_seconds=self._quiet_seconds,
            ssl=self._ssl,
        ) as client:
            await check_model(client, self._model, seconds=self._connect_seconds)

            def ask(text: str) -> Any:
                return answer(client, self._request(client, options, text))

            link = SpeechLink(ask, rate=self._rate, model=self._model)
            try:
                yield link
            finally:
                await link.close()

    def _request(
        self, client: "httpx.AsyncClient", options: TtsOptions, text: str
    ) -> "httpx.Request":
        voice = options.voice or self._voice
        wanted: dict[str, Any] = {
            "model": self._model,
            "input": text,
            "voice": {"id": voice} if voice.startswith("voice_") else voice,
            "response_format": "pcm",
        }
        if self._model not in PLAIN_MODELS:
            wanted["stream_format"] = "sse"
        if options.style is not None:
            wanted["instructions"] = options.style
        if options.speed != 1.0:
            wanted["speed"] = options.speed
        return client.build_request("POST", PATH, json=wanted)
