"""ElevenLabs Scribe for recordings: each utterance is posted as a file, and answered as a whole."""

import ssl as tls
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import SttOptions, input_format_of
from beluga_voice.providers.answers import Answer
from beluga_voice.providers.elevenlabs.account import (
    ENDPOINT,
    KEY_VARIABLE,
    NAME,
    key_of,
    primary,
    reason_of,
    web_base_of,
)
from beluga_voice.providers.posting import PostingLink
from beluga_voice.providers.requests import answer, expect_success, open_client, refusal
from beluga_voice.providers.stt.elevenlabs._capabilities import (
    DEFAULT_FILE_MODEL,
    FILE_CAPABILITIES,
    FILE_PATH,
    FILE_PHRASES,
    MAX_PART_BYTES,
)
from beluga_voice.providers.stt.elevenlabs._wire import read_answer
from beluga_voice.support import refuse_unsupported_stt
from beluga_voice.transports.wire import READY_SECONDS

if TYPE_CHECKING:
    import httpx


class ScribeFiles:
    """Speech into text by ElevenLabs Scribe for what is recorded already, over HTTP.

    The service hears the whole of an utterance before it writes any of it, and is sent it as fast
    as the network is, where the live one takes as long as the recording lasts: better for
    `transcribe`, and of no use where somebody waits for words while they are spoken. Nothing is
    asked of the service before there is sound, so a wrong key or model is told by the link. A
    recording above 1 GB is posted in parts.

    Without a language the service finds it, and says which it was; `secondary_languages` are others
    that may be spoken. `no_verbatim` leaves out hesitations and false starts. Laughter and the like
    are not written down. `SttOptions.phrases` are as for `Scribe`. `keeps_no_log` is for enterprise
    accounts. What is not answered within `answer_seconds` ends the link (`TIMEOUT`).

    The key is `api_key`, or `ELEVENLABS_API_KEY` at the time of connecting. `endpoint` is scheme
    and host; `ws` and `wss` are taken as well. Needs the extra `elevenlabs`. Raises
    `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a key, and
    `MissingExtra`.
    """

    extra = "elevenlabs"
    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""
    phrase_limits = FILE_PHRASES

    def __init__(
        self,
        model: str = DEFAULT_FILE_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        secondary_languages: Sequence[str] = (),
        no_verbatim: bool = False,
        keeps_no_log: bool = False,
        answer_seconds: float = 600.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        if not model:
            raise ConfigurationError("give a model", op=NAME)
        if answer_seconds <= 0:
            raise ConfigurationError("answer_seconds should be above 0", op=NAME)
        self._model = model
        self._base = web_base_of(endpoint or ENDPOINT)
        self._secondary = [primary(one) for one in secondary_languages]
        self._no_verbatim = no_verbatim
        self._keeps_no_log = keeps_no_log
        self._api_key = api_key
        self._answer_seconds = answer_seconds
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = f"{NAME}_files"
        self.capabilities = FILE_CAPABILITIES

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[PostingLink]:
        """Be ready to post."""
        refuse_unsupported_stt(options, self.capabilities, self.name)
        fields = self._fields(options)
        async with open_client(
            self._base,
            {"xi-api-key": key_of(self._api_key, op="connect")},
            connect_seconds=self._connect_seconds,
            quiet_seconds=self._answer_seconds,
            ssl=self._ssl,
            what="ElevenLabs over HTTP",
            extra="elevenlabs",
        ) as client:
            link = PostingLink(
                lambda file: self._post(client, fields, file),
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

    def _fields(self, options: SttOptions) -> dict[str, Any]:
        """What is asked for with a recording."""
        fields: dict[str, Any] = {
            "model_id": self._model,
            "tag_audio_events": "false",
            "timestamps_granularity": "word" if options.wants_words else "none",
        }
        if options.language is not None:
            fields["language_code"] = primary(options.language)
        if self._secondary:
            fields["secondary_language_codes"] = self._secondary
        if self._no_verbatim:
            fields["no_verbatim"] = "true"
        if phrases := FILE_PHRASES.taken(options.phrases, self.name):
            fields["keyterms"] = list(phrases)
        return fields

    async def _post(
        self, client: "httpx.AsyncClient", fields: dict[str, Any], file: bytes
    ) -> Answer:
        files = {"file": ("utterance.wav", file, "audio/wav")}
        query = {"enable_logging": "false"} if self._keeps_no_log else {}
        request = client.build_request("POST", FILE_PATH, params=query, data=fields, files=files)
        async with answer(client, request) as response:
            await expect_success(
                response,
                lambda status, headers, body: refusal(
                    status, headers, reason_of(body), variable=KEY_VARIABLE
                ),
            )
            return read_answer(await response.aread())
