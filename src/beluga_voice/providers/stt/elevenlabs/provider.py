"""ElevenLabs Scribe as a speech-to-text provider: one websocket for each link."""

import asyncio
import ssl as tls
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from beluga_voice.events import LinkReady, SttCommand, SttEvent
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.elevenlabs.account import (
    ENDPOINT,
    KEY_VARIABLE,
    NAME,
    base_of,
    key_of,
    url_of,
)
from beluga_voice.providers.elevenlabs.channel import open_channel
from beluga_voice.providers.stt.elevenlabs._capabilities import (
    DEFAULT_MODEL,
    PATH,
    PHRASES,
    capabilities,
)
from beluga_voice.providers.stt.elevenlabs._codec import ScribeCodec
from beluga_voice.providers.stt.elevenlabs._options import (
    CommitStrategy,
    Settings,
    check,
    query_of,
)
from beluga_voice.transports.wire import READY_SECONDS, WireLink, WireProvider

MAX_AUDIO_BYTES = 960_000
"""Sound that may wait for a slow connection: 30 seconds at 16 kHz, 10 at 48 kHz."""


class Scribe:
    """Speech into text by ElevenLabs Scribe, in more than ninety languages.

    An utterance is settled when `FinishUtterance` says so: what was sent of it is committed, filled
    up with silence to the 0.3 s without which the service ends the session. An utterance longer
    than a minute is committed in parts. Dropped sound is committed too, and its words are thrown
    away, because the service cannot forget.

    With `commit_strategy="vad"` the service ends utterances by itself, after `vad_silence_seconds`
    (0.3 to 3; its own: 1.5), and says so with `EndOfTurnLikely`; silence has to be sent to it, too.
    `vad_threshold` is 0.1 to 0.9, `min_speech_ms` and `min_silence_ms` 50 to 2000. It does not say
    which utterance its words are of, so `FinishUtterance` sends it the silence that ends one, and
    is answered when that has come about, or, where nothing was understood since the last end, with
    what was settled before, after `settle_seconds`. Use it where no other detector finds turns.

    `SttOptions.phrases` are 50 of 20 characters at most. Without a language the service finds it;
    `secondary_languages` are others that may be spoken, and with `detects_language` a transcript
    says which one it was, a little later. `no_verbatim` leaves out hesitations and false starts,
    `filters_background` other people's voices. `previous_text`, to 50 characters, is what was said
    before. `keeps_no_log` is for enterprise accounts.

    A commit that is not answered within `answer_seconds` ends the link (`TIMEOUT`). After
    `quiet_seconds` of sound that is no silence and of which nothing was told, part of the utterance
    is committed to see whether the service is still there; where it commits by itself, the link
    ends (`RETRYABLE`). Sound that waits for a slow connection is bounded: the oldest is dropped.

    The key is `api_key`, or `ELEVENLABS_API_KEY` at the time of connecting. `endpoint` is scheme
    and host; `http` and `https` are taken as well.

    Raises `ConfigurationError` for what makes no sense. Connecting raises `Denied` without a valid
    key, `Rejected` for an unknown model or settings the service refuses, `Overloaded`,
    `Unreachable`, or `Silent`, within `connect_seconds`.
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
        commit_strategy: CommitStrategy = "manual",
        vad_silence_seconds: float | None = None,
        vad_threshold: float | None = None,
        min_speech_ms: int | None = None,
        min_silence_ms: int | None = None,
        secondary_languages: Sequence[str] = (),
        detects_language: bool = False,
        no_verbatim: bool = False,
        filters_background: bool = False,
        previous_text: str = "",
        keeps_no_log: bool = False,
        answer_seconds: float = 10.0,
        quiet_seconds: float = 10.0,
        settle_seconds: float = 1.0,
        ssl: tls.SSLContext | None = None,
        connect_seconds: float = READY_SECONDS,
    ) -> None:
        self._settings = Settings(
            model=model,
            commit_strategy=commit_strategy,
            vad_silence_seconds=vad_silence_seconds,
            vad_threshold=vad_threshold,
            min_speech_ms=min_speech_ms,
            min_silence_ms=min_silence_ms,
            secondary_languages=tuple(secondary_languages),
            detects_language=detects_language,
            no_verbatim=no_verbatim,
            filters_background=filters_background,
            previous_text=previous_text,
            keeps_no_log=keeps_no_log,
            answer_seconds=answer_seconds,
            quiet_seconds=quiet_seconds,
            settle_seconds=settle_seconds,
        )
        self._base = base_of(endpoint or ENDPOINT)
        self._api_key = api_key
        self._ssl = ssl
        self._connect_seconds = connect_seconds
        self.name = NAME
        self.capabilities = capabilities(finds_turns=self._settings.finds_turns)

    @asynccontextmanager
    async def connect(
        self, options: SttOptions, /
    ) -> AsyncGenerator[WireLink[SttCommand, SttEvent]]:
        """Open a session; the service has taken the configuration when it is entered."""
        check(options, self._settings, self.capabilities)
        changed = asyncio.Event()
        codec = ScribeCodec(
            options,
            self._settings,
            self.capabilities,
            now=asyncio.get_running_loop().time,
            changed=changed.set,
        )
        wire: WireProvider[SttOptions, SttCommand, SttEvent] = WireProvider(
            self.name,
            self.capabilities,
            lambda _: codec,
            lambda asked: open_channel(
                url_of(self._base, PATH, query_of(asked, self._settings, self.capabilities)),
                codec,
                changed,
                key=key_of(self._api_key, op="connect"),
                connect_seconds=self._connect_seconds,
                ssl=self._ssl,
            ),
            max_audio_bytes=MAX_AUDIO_BYTES,
            is_ready=lambda event: isinstance(event, LinkReady),
            ready_seconds=self._connect_seconds,
        )
        async with wire.connect(options) as link:
            yield link
