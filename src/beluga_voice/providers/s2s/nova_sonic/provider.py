"""Amazon Nova Sonic as a provider, over Amazon Bedrock.

A conversation is one two-way stream, for eight minutes at most; then the service ends it without a
warning, and the next one is told what was said. The service's clock is our sound: it wants sound
all the time, silence too, at the pace of hearing.
"""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import partial

from beluga_voice.errors import LinkLost
from beluga_voice.events import LinkReady, S2sCommand, S2sEvent
from beluga_voice.interfaces import Capabilities, Channel, S2sOptions
from beluga_voice.providers.s2s.nova_sonic._capabilities import DEFAULT_MODEL, capabilities_of
from beluga_voice.providers.s2s.nova_sonic._codec import NovaSonicCodec
from beluga_voice.providers.s2s.nova_sonic._settings import Sensitivity, Settings
from beluga_voice.transports.bedrock import (
    Credentials,
    connect_bedrock,
    credentials_of_environment,
    endpoint_of,
    region_of_environment,
)
from beluga_voice.transports.failures import Advice
from beluga_voice.transports.wire import WireLink, WireProvider

NAME = "nova_sonic"
READY_SECONDS = 8.0
GOODBYE_SECONDS = 0.5

type OpenChannel = Callable[[S2sOptions], AbstractAsyncContextManager[Channel]]


class NovaSonic:
    """Speech to speech by Amazon Nova Sonic.

    The service finds the turns, by `sensitivity`, answers each, and cannot be told to stop or what
    was heard. Nothing can be changed in mid-call. Needs the extra `nova`.

    Credentials are asked of `credentials` at each connection; without it they are those of
    `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. Without `region` it is
    that of `AWS_REGION` or `AWS_DEFAULT_REGION`. `endpoint` is scheme, host and port of another
    server than the region's own; there is no Bedrock without TLS. Of `ssl` the certificate
    authorities are used, and whether it checks: the SDK does not use Python's TLS.

    `voice` is a name (`tiffany`, `matthew`, ...). `tool_choice` is `auto`, `any`, or the name of a
    tool. Voice, temperature and token limit hold where a session's options have none.
    `open_channel` opens another wire for the same messages; see `transports.bedrock` for the two
    that a wire adds.

    Raises `ConfigurationError` for what makes no sense, and `Unsupported` for what the model cannot
    do. Connecting raises `MissingExtra`, `Denied` without valid credentials, `Rejected` for a model
    or settings the service refuses, `Overloaded`, `Unreachable` or `Silent`, in `connect_seconds`.
    """

    credential_variables = ("AWS_ACCESS_KEY_ID",)
    """One of them has to be set, unless the credentials are given."""

    extra = "nova"
    name = NAME
    usage_follows = True
    """What a response cost is told when it would have been heard."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        region: str | None = None,
        credentials: Callable[[], Credentials] = credentials_of_environment,
        endpoint: str | None = None,
        voice: str | None = None,
        sensitivity: Sensitivity | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_output_tokens: int | None = None,
        tool_choice: str | None = None,
        open_channel: OpenChannel | None = None,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            sensitivity=sensitivity,
            temperature=temperature,
            top_p=top_p,
            max_output_tokens=max_output_tokens,
            tool_choice=tool_choice,
        )
        self._endpoint = None if endpoint is None else endpoint_of(endpoint)
        self._region = region
        self._credentials = credentials
        self._open_channel = open_channel or self._bedrock
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self._links = 0
        region_told = region or "the region of AWS_REGION"
        self._advice = Advice(
            denied="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (or "
            f"credentials), and that they may use {model} in {region_told}",
            rejected=f"check the model ({model!r}), {region_told} and the settings",
        )
        self.capabilities: Capabilities = capabilities_of(self._settings.profile)

    @asynccontextmanager
    async def connect(
        self, options: S2sOptions, /
    ) -> AsyncGenerator[WireLink[S2sCommand, S2sEvent]]:
        """Open a link; the service has taken the request when it is entered."""
        self._links += 1
        codec = NovaSonicCodec(options, self._settings, link=self._links)
        # One for each link: the channel says goodbye in the words of its codec.
        wires: WireProvider[S2sOptions, S2sCommand, S2sEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            partial(self._channel, codec),
            is_ready=lambda event: isinstance(event, LinkReady),
            advice=self._advice,
            ready_seconds=self._connect_seconds,
        )
        async with wires.connect(options) as link:
            yield link

    @asynccontextmanager
    async def _channel(self, codec: NovaSonicCodec, options: S2sOptions) -> AsyncGenerator[Channel]:
        """A channel that ends the conversation politely when it is left in peace."""
        async with self._open_channel(options) as channel:
            yield channel
            with suppress(LinkLost, TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    for message in codec.goodbye():
                        await channel.send(message)

    def _bedrock(self, options: S2sOptions) -> AbstractAsyncContextManager[Channel]:
        return connect_bedrock(
            self._settings.model,
            region=self._region or region_of_environment(),
            credentials=self._credentials(),
            endpoint=self._endpoint,
            connect_seconds=self._connect_seconds,
            ssl=self._ssl,
            provider=self.name,
        )
