"""OpenAI as a speech-to-text provider: two transports behind one name, by the model."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal

from websockets.exceptions import InvalidStatus

from beluga_voice.errors import Denied, ProviderError, Unreachable
from beluga_voice.events import LinkReady, SttCommand, SttEvent
from beluga_voice.interfaces import SttLink, SttOptions, input_format_of
from beluga_voice.providers.answers import Answer
from beluga_voice.providers.openai.account import (
    KEY_VARIABLE,
    NAME,
    base_of,
    error_in,
    headers_of,
    refusal_of,
)
from beluga_voice.providers.openai.requests import check_model, expect_success, open_client
from beluga_voice.providers.posting import PostingLink
from beluga_voice.providers.requests import answer
from beluga_voice.providers.stt.openai._capabilities import (
    DEFAULT_MODEL,
    MAX_PART_BYTES,
    PHRASES,
    REST_PATH,
    Transport,
    capabilities,
    transport_of,
)
from beluga_voice.providers.stt.openai._codec import TranscriptionCodec
from beluga_voice.providers.stt.openai._options import Settings, check, fields_of, url_of
from beluga_voice.providers.stt.openai._wire import read_answer
from beluga_voice.providers.ticking import TickingChannel
from beluga_voice.transports.failures import advice_for, error_of
from beluga_voice.transports.websocket import connect_websocket
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

if TYPE_CHECKING:
    import httpx

MAX_AUDIO_BYTES = 480_000
"""Ten seconds of sound may wait for a slow connection."""


class OpenAIStt:
    """Speech into text by OpenAI, or by a server that speaks as it does.

    `transport` is `realtime`, a websocket that tells words while they are spoken, or `rest`, which
    posts each utterance when it ends; by default the model decides: `gpt-live-transcribe` and
    `gpt-realtime-whisper` are live, all others, as `gpt-transcribe`, are posted. REST needs the
    extra `openai`. Neither finds turns: `FinishUtterance` says where one ends, as a commit or as a
    request. An utterance below 100 ms is filled up with silence, one without sound is answered
    empty at once. Over REST, one above 20 MB is posted in parts.

    `SttOptions.phrases` are for `gpt-transcribe` and `gpt-live-transcribe`, word times for
    `whisper-1` over REST. `prompt` guides the style, `delay` trades speed for accuracy
    (`gpt-realtime-whisper`). OpenAI shuts down `whisper-1` and the `gpt-4o` models on 2027-02-26.

    `endpoint` is the address up to `/v1`; `http` and `ws`, `https` and `wss` mean the same. A
    server other than OpenAI's is told the model in the address of a websocket as well, which
    `sends_model` changes. The key is `api_key`, or `OPENAI_API_KEY` at the time of connecting.

    An utterance that is not answered within `answer_seconds` ends the link (`TIMEOUT`). A live
    model that says nothing to `quiet_seconds` of voice is asked for a sign of life, by a commit in
    the middle of the utterance, and has as long for it. A dead connection is found by unanswered
    pings, within 40 s.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown model or settings the service refuses, with its reason,
    `Overloaded`, `Unreachable`, `Silent`, or `MissingExtra`, within `connect_seconds`.
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
        transport: Transport | None = None,
        prompt: str | None = None,
        delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None,
        noise_reduction: Literal["near_field", "far_field"] | None = None,
        sends_model: bool | None = None,
        organization: str | None = None,
        project: str | None = None,
        answer_seconds: float = 10.0,
        quiet_seconds: float = 10.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            transport=transport_of(model, transport),
            prompt=prompt,
            delay=delay,
            noise_reduction=noise_reduction,
            answer_seconds=answer_seconds,
            quiet_seconds=quiet_seconds,
        )
        self._is_live = self._settings.transport == "realtime"
        self._api_key = api_key
        self._base = base_of(endpoint, is_websocket=self._is_live)
        self._sends_model = sends_model
        self._organization = organization
        self._project = project
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model, self._settings.transport)

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[SttLink]:
        """Open a transcription; the service has taken key and model when it is entered."""
        check(options, self.capabilities)
        headers = headers_of(self._api_key, organization=self._organization, project=self._project)
        if self._is_live:
            async with self._live(options, headers) as live:
                yield live
        else:
            async with self._posting(options, headers) as posting:
                yield posting

    # ── over a websocket ────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _live(
        self, options: SttOptions, headers: dict[str, str]
    ) -> AsyncGenerator[WireLink[SttCommand, SttEvent]]:
        changed = asyncio.Event()
        codec = TranscriptionCodec(
            options,
            self._settings,
            self.capabilities,
            now=asyncio.get_running_loop().time,
            changed=changed.set,
        )

        @asynccontextmanager
        async def channel(_: SttOptions) -> AsyncGenerator[TickingChannel]:
            opening = connect_websocket(
                url_of(self._base, self._settings.model, sends_model=self._sends_model),
                headers=headers,
                connect_seconds=self._connect_seconds,
                ssl=self._ssl if self._base.startswith("wss:") else None,
                provider=NAME,
                advice=advice_for(key=f"{KEY_VARIABLE}, or api_key", model=self._settings.model),
            )
            async with AsyncExitStack() as stack:
                try:
                    opened = await stack.enter_async_context(opening)
                except ProviderError as error:
                    explained = _explained(error)
                    # What refuses a key quotes it.
                    cause = None if isinstance(explained, Denied) else error.__cause__
                    raise explained from cause
                yield TickingChannel(opened, codec, changed)

        wire: WireProvider[SttOptions, SttCommand, SttEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            channel,
            max_audio_bytes=MAX_AUDIO_BYTES,
            is_ready=lambda event: isinstance(event, LinkReady),
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link

    # ── over REST ───────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _posting(
        self, options: SttOptions, headers: dict[str, str]
    ) -> AsyncGenerator[PostingLink]:
        fields = fields_of(options, self._settings)
        async with open_client(
            self._base,
            headers,
            connect_seconds=self._connect_seconds,
            quiet_seconds=self._settings.answer_seconds,
            ssl=self._ssl,
        ) as client:
            await check_model(client, self._settings.model, seconds=self._connect_seconds)
            link = PostingLink(
                lambda file: _post(client, fields, file),
                input_format_of(self.capabilities, options.input_format),
                name=NAME,
                model=self._settings.model,
                language=options.language,
                answer_seconds=self._settings.answer_seconds,
                part_bytes=MAX_PART_BYTES,
            )
            try:
                yield link
            finally:
                await link.close()


async def _post(client: "httpx.AsyncClient", fields: dict[str, object], file: bytes) -> Answer:
    # The name counts: by its ending the service knows what it is.
    files = {"file": ("utterance.wav", file, "audio/wav")}
    request = client.build_request("POST", REST_PATH, data=fields, files=files)
    async with answer(client, request) as response:
        await expect_success(response)
        return read_answer(await response.aread())


def _explained(error: ProviderError) -> ProviderError:
    """The same error with the service's own reason, if a refused handshake gave one."""
    refused = error.__cause__
    if not isinstance(refused, InvalidStatus):
        return error
    body = bytes(refused.response.body or b"")
    said = error_in(body)
    if said.code is None and not said.message:
        return error
    if refused.response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        # Used up is not overloaded: to come back later does not help.
        failure = refusal_of(refused.response.status_code, {}, body)
        other = error_of(failure, op="connect", provider=NAME, otherwise=Unreachable)
        if type(other) is not type(error):
            return other
    # What is said about a key might quote it: its code says enough.
    reason = said.code if isinstance(error, Denied) else said.message or said.code
    error.message = f"{error.message} ({(reason or '')[:300]})"
    error.args = (error.message,)
    return error
