"""Deepgram for recordings: each utterance is posted as a file, and answered as a whole."""

import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import SttOptions, input_format_of
from beluga_voice.providers.answers import Answer
from beluga_voice.providers.deepgram.channel import (
    KEY_VARIABLE,
    key_of,
    refusal_of,
    web_address_of,
)
from beluga_voice.providers.posting import PostingLink
from beluga_voice.providers.requests import answer, expect_success, open_client
from beluga_voice.providers.stt.deepgram._capabilities import (
    DEFAULT_MODEL,
    FLUX_MODELS,
    MAX_PART_BYTES,
    NAME,
    NOVA_PATH,
    PHRASES,
    file_capabilities,
)
from beluga_voice.providers.stt.deepgram._options import file_query_of
from beluga_voice.providers.stt.deepgram._wire import read_answer
from beluga_voice.support import refuse_unsupported_stt
from beluga_voice.transports.wire import READY_SECONDS

if TYPE_CHECKING:
    import httpx


class DeepgramFiles:
    """Speech to text by Deepgram for what is recorded already, over HTTP.

    The service hears the whole of an utterance before it writes any of it, and is sent it as fast
    as the network is: better than a stream for `transcribe`, and of no use where somebody waits for
    words while they are spoken. Nothing is asked of the service before there is sound, so a wrong
    key or model is told by the link. A recording above 1 GB is posted in parts.

    `model` is one of Nova's. `smart_format` writes numbers, dates and the like as people do.
    `numerals`, `tag` and `mip_opt_out` are as the service has them. Other readings
    (`SttOptions.alternatives`) come from the families `base`, `enhanced` and the first `nova`. What
    is not answered within `answer_seconds` ends the link (`TIMEOUT`).

    The key is `api_key`, or `DEEPGRAM_API_KEY` at the time of connecting. `endpoint` is a host of
    the service, such as `https://api.eu.deepgram.com`, or the whole address without settings. Needs
    the extra `deepgram`. Raises `ConfigurationError` for what makes no sense. Connecting raises
    `Denied` without a key, and `MissingExtra`.
    """

    extra = "deepgram"
    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""
    phrase_limits = PHRASES

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        smart_format: bool = False,
        numerals: bool = False,
        tag: str | None = None,
        mip_opt_out: bool = False,
        answer_seconds: float = 600.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        if not model or model in FLUX_MODELS:
            message = f"the model {model!r} takes no files; give one such as {DEFAULT_MODEL}"
            raise ConfigurationError(message, op=NAME)
        if answer_seconds <= 0:
            raise ConfigurationError("answer_seconds should be above 0", op=NAME)
        self._model = model
        switches = {
            "smart_format": smart_format,
            "numerals": numerals,
            "mip_opt_out": mip_opt_out,
        }
        self._own = [(name, "true") for name, is_on in switches.items() if is_on]
        self._own += [] if tag is None else [("tag", tag)]
        self._address = web_address_of(endpoint, NOVA_PATH, op=NAME)
        self._api_key = api_key
        self._answer_seconds = answer_seconds
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = f"{NAME}_files"
        self.capabilities = file_capabilities(model)

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[PostingLink]:
        """Be ready to post."""
        refuse_unsupported_stt(options, self.capabilities, self.name)
        query = [*file_query_of(options, self._model), *self._own]
        async with open_client(
            self._address,
            {"Authorization": f"Token {key_of(self._api_key)}"},
            connect_seconds=self._connect_seconds,
            quiet_seconds=self._answer_seconds,
            ssl=self._ssl,
            what="Deepgram over HTTP",
            extra="deepgram",
        ) as client:
            link = PostingLink(
                lambda file: _post(client, self._address, query, file),
                input_format_of(self.capabilities, options.input_format),
                name=self.name,
                model=self._model,
                language=options.language,
                answer_seconds=self._answer_seconds,
                part_bytes=MAX_PART_BYTES,
            )
            try:
                yield link
            finally:
                await link.close()


async def _post(
    client: "httpx.AsyncClient", address: str, query: list[tuple[str, str]], file: bytes
) -> Answer:
    headers = {"Content-Type": "audio/wav"}
    url = f"{address}?{urlencode(query)}"
    request = client.build_request("POST", url, content=file, headers=headers)
    async with answer(client, request) as response:
        await expect_success(response, refusal_of)
        return read_answer(await response.aread())
