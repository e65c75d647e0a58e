"""Text into speech by eSpeak NG: any of a hundred languages, offline, at once, robotic.

The first sound comes within a millisecond or two of the text, and speaking takes a thousandth of
the time it sounds. The library is under GPL-3, so it is no part of this package: it comes with
the extra `local` and is used only by a separate process, over a socket (see `workers`).
"""

import contextlib
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import override

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ConfigurationError, Unsupported
from beluga_voice.events import LinkReady
from beluga_voice.interfaces import Capabilities, Faithfulness, TtsOptions, Voice, output_format_of
from beluga_voice.providers.tts.espeak import _voices
from beluga_voice.providers.tts.espeak import _wire as wire
from beluga_voice.providers.tts.worker_link import SpeakingLink
from beluga_voice.providers.workers import keep_warm, require
from beluga_voice.support import refuse_unsupported_tts

_MODULE = "beluga_voice.providers.tts.espeak.worker"
_VOICE = re.compile(r"[A-Za-z0-9_+-]{1,40}")
_SLOWEST, _FASTEST = 80, 450
_HIGHEST = 99

_openings: msgspec.msgpack.Decoder[wire.Opened] = msgspec.msgpack.Decoder(wire.Opened)


class EspeakLink(SpeakingLink):
    """Text going out, sound and the places of words coming in; `voice` is the one asked for."""

    provider = "espeak"

    def __init__(
        self, *, voice: str, room_bytes: int, max_waiting_characters: int, answer_seconds: float
    ) -> None:
        super().__init__(
            room_bytes=room_bytes,
            max_waiting_characters=max_waiting_characters,
            answer_seconds=answer_seconds,
        )
        self._voice = voice

    @override
    def _ready(self, body: bytes) -> LinkReady:
        opened = _openings.decode(body)
        if opened.voice is None:
            raise Unsupported(f"there is no voice {self._voice!r}", op="tts.connect")
        return LinkReady(remote_id=str(opened.pid), model=opened.voice)


class Espeak:
    """Speech from text, in worker processes on this machine.

    * `voice`: the voice when the options name none; "en-us+f5" is a language and a variant.
    * `words_per_minute`: its pace at speed 1; with the speed it must stay within 80 to 450.
    * `pitch`: 0 to 100.
    * `max_waiting_characters`: text that may wait to be spoken.
    * `room_seconds`: sound that may wait to be read before speaking pauses.
    * `answer_seconds`: after which a process that owes sound is given up.
    * `start_seconds`: how long starting may take.

    Voice, pace and pitch are those that a speech recogniser understood best.
    Raises `ConfigurationError` for settings that make no sense; `connect` raises `Unsupported` for
    what it cannot do, and `MissingExtra` without the extra `local`.
    """

    extra = "local"
    name = "espeak"
    capabilities = Capabilities(
        input_formats=(),
        output_formats=(pcm16(24000), pcm16(16000), pcm16(22050), pcm16(8000)),
        is_local=True,
        has_word_times=True,
        can_cancel=True,
        say=Faithfulness.EXACT,
        settings=frozenset({"speed", "pitch"}),
    )

    def __init__(
        self,
        *,
        voice: str = "en-us+f5",
        words_per_minute: int = 140,
        pitch: int = 50,
        max_waiting_characters: int = 1_000_000,
        room_seconds: float = 10.0,
        answer_seconds: float = 30.0,
        start_seconds: float = 20.0,
    ) -> None:
        if not 0 <= pitch <= 100:
            raise Unsupported(f"a pitch of {pitch} is outside 0 to 100", op="tts")
        if answer_seconds <= 0:
            raise ConfigurationError("answer_seconds should be above 0", op="tts")
        self._voice = voice
        self._words_per_minute = words_per_minute
        self._pitch = pitch
        self._max_waiting_characters = max_waiting_characters
        self._room_seconds = room_seconds
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> AsyncGenerator[EspeakLink]:
        """A link to a process of its own; raises `Unsupported` for a voice it does not have."""
        request = self._request(options)
        require("espeakng_loader", "eSpeak NG", extra="local")
        link = EspeakLink(
            voice=request.voices[0],
            room_bytes=int(self._room_seconds * request.rate) * 2,
            max_waiting_characters=self._max_waiting_characters,
            answer_seconds=self._answer_seconds,
        )
        async with link.running(_MODULE, opening=request, within_seconds=self._start_seconds):
            yield link

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the library loaded between links, for as long as the context lasts."""
        require("espeakng_loader", "eSpeak NG", extra="local")
        return keep_warm(_MODULE)

    async def voices(self) -> tuple[Voice, ...]:
        """The voices in the package; a variant is added to one, as in `en-us+f5`."""
        require("espeakng_loader", "eSpeak NG", extra="local")
        return _voices.voices()

    def _request(self, options: TtsOptions) -> wire.Open:
        refuse_unsupported_tts(options, self.capabilities, self.name)
        output = output_format_of(self.capabilities, options.output_format)
        pace = round(self._words_per_minute * options.speed)
        if not _SLOWEST <= pace <= _FASTEST:
            raise Unsupported(
                f"{pace} words a minute are outside {_SLOWEST} to {_FASTEST}", op="tts.connect"
            )
        voices: tuple[str, ...] = (options.voice or self._voice,)
        if options.voice is None and options.language:
            tag = options.language.lower().replace("_", "-")
            if not self._voice.lower().startswith(tag):
                voices = (tag, tag.split("-")[0])
        if not all(_VOICE.fullmatch(voice) for voice in voices):
            raise Unsupported(f"{voices[0]!r} is no name of a voice", op="tts.connect")
        pitch = round(self._pitch * (options.pitch or 1.0))
        if not 0 <= pitch <= _HIGHEST:
            raise Unsupported(f"a pitch of {pitch} is outside 0 to {_HIGHEST}", op="tts.connect")
        return wire.Open(voices=voices, words_per_minute=pace, pitch=pitch, rate=output.rate)
