"""ElevenLabs as a text-to-speech provider: one websocket for each link, in one voice."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from beluga_voice.events import LinkReady, TtsCommand, TtsEvent
from beluga_voice.interfaces import TtsOptions, Voice
from beluga_voice.providers.elevenlabs.account import (
    ENDPOINT,
    KEY_VARIABLE,
    NAME,
    base_of,
    key_of,
    url_of,
)
from beluga_voice.providers.elevenlabs.channel import open_channel
from beluga_voice.providers.tts.elevenlabs import _voices
from beluga_voice.providers.tts.elevenlabs._capabilities import (
    DEFAULT_MODEL,
    DEFAULT_VOICE,
    MAX_INACTIVITY_SECONDS,
    capabilities,
)
from beluga_voice.providers.tts.elevenlabs._codec import ElevenLabsCodec
from beluga_voice.providers.tts.elevenlabs._options import (
    Settings,
    Spelling,
    Words,
    check,
    path_of,
    query_of,
)
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider


class ElevenLabs:
    """Speech from text by ElevenLabs, in up to five contexts at once; the sixth waits.

    Text may come in pieces of any size. A piece that ends a sentence is spoken at once; others when
    the service has gathered enough, when no more came for `gather_seconds`, or when the speech is
    finished. Words are told with their times as they are read out ("twenty"), or, with
    `words="written"`, as they stand in the text ("20"), which is what Japanese, Korean and Chinese
    have.

    `voice` is the id of one; `voices` lists them. `similarity_boost` and `style_exaggeration` are
    0 to 1. `TtsOptions.speed` is 0.7 to 1.2. `text_normalization` says whether numbers and the like
    are spelled out. `keeps_no_log` is for enterprise accounts. Only some models can be held to a
    language; the models `eleven_v3` and later are for another protocol, and refused.

    The service is told to wait `inactivity_seconds` for more text, 180 at most; it is kept awake in
    half that time. A text of which nothing is heard within `quiet_seconds` ends the link
    (`TIMEOUT`). Connecting asks for a sign of life of the service, by a context without words, and
    waits `probe_seconds` for it at most: without one it is taken to be ready, and what is wrong
    with key or voice is told by the link. `None` does not ask.

    The key is `api_key`, or `ELEVENLABS_API_KEY` at the time of connecting. `endpoint` is scheme
    and host; `http` and `https` are taken as well.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, or for a model that is not for this protocol, `Rejected` for an unknown voice, model or
    setting, `Overloaded`, `Unreachable`, or `Silent`, within `connect_seconds`.
    """

    credential_variables = (KEY_VARIABLE,)
    """One of them has to be set, unless the credentials are given."""

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        api_key: str | None = None,
        endpoint: str | None = None,
        voice: str = DEFAULT_VOICE,
        similarity_boost: float | None = None,
        style_exaggeration: float | None = None,
        use_speaker_boost: bool | None = None,
        text_normalization: Spelling | None = None,
        words: Words | None = None,
        keeps_no_log: bool = False,
        inactivity_seconds: int = MAX_INACTIVITY_SECONDS,
        gather_seconds: float = 0.5,
        quiet_seconds: float = 10.0,
        probe_seconds: float | None = 1.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            voice=voice,
            similarity_boost=similarity_boost,
            style_exaggeration=style_exaggeration,
            use_speaker_boost=use_speaker_boost,
            text_normalization=text_normalization,
            words=words,
            keeps_no_log=keeps_no_log,
            inactivity_seconds=inactivity_seconds,
            gather_seconds=gather_seconds,
            quiet_seconds=quiet_seconds,
            probe_seconds=probe_seconds,
        )
        self._base = base_of(endpoint or ENDPOINT)
        self._api_key = api_key
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(model)

    @asynccontextmanager
    async def connect(
        self, options: TtsOptions, /
    ) -> AsyncGenerator[WireLink[TtsCommand, TtsEvent]]:
        """Open a connection in one voice."""
        check(options, self.capabilities)
        changed = asyncio.Event()
        codec = ElevenLabsCodec(
            options,
            self._settings,
            self.capabilities,
            now=asyncio.get_running_loop().time,
            changed=changed.set,
        )
        path = path_of(options, self._settings)
        query = query_of(options, self._settings, self.capabilities)
        wire: WireProvider[TtsOptions, TtsCommand, TtsEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            lambda _: open_channel(
                url_of(self._base, path, query),
                codec,
                changed,
                key=key_of(self._api_key, op="connect"),
                connect_seconds=self._connect_seconds,
                ssl=self._ssl,
            ),
            is_ready=lambda event: isinstance(event, LinkReady),
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link

    async def voices(self) -> tuple[Voice, ...]:
        """The voices of the account, with the languages in which each was found to be good.

        Raises `MissingExtra` without the extra `elevenlabs`, `Denied`, `Overloaded`, `Unreachable`,
        `Rejected`, or `BrokenProtocol`.
        """
        url = url_of(self._base.replace("ws", "http", 1), _voices.PATH, ())
        key = key_of(self._api_key, op="voices")
        return await _voices.fetch_voices(url, key, seconds=self._connect_seconds, ssl=self._ssl)
