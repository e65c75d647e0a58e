"""Speech into text by PocketSphinx: English, offline, modest.

It understands clear speech into a near microphone. Give it the phrases the agent expects
(`SttOptions.phrases`) and those are recognised almost without error, also numbers, times and
names that a general model often gets wrong; everything else stays possible. Quality for all of
English in any room needs another provider.

The decoder holds the interpreter's lock while it works, so it lives in a process of its own,
forked for each link from one that has loaded the model (see `workers`).
"""

import contextlib
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import override

import msgspec

from beluga_voice.errors import ConfigurationError
from beluga_voice.events import LinkReady
from beluga_voice.interfaces import Capabilities, SttOptions, TurnOwner
from beluga_voice.providers.phrases import PhraseLimits
from beluga_voice.providers.stt.pocketsphinx import _wire as wire
from beluga_voice.providers.stt.worker_link import FORMAT, HearingLink
from beluga_voice.providers.workers import keep_warm, require
from beluga_voice.support import refuse_unsupported_stt

_MODULE = "beluga_voice.providers.stt.pocketsphinx.worker"

_log = logging.getLogger(__name__)
_openings: msgspec.msgpack.Decoder[wire.Opened] = msgspec.msgpack.Decoder(wire.Opened)


class PocketsphinxLink(HearingLink):
    """One person's sound going out, transcripts coming in."""

    provider = "pocketsphinx"
    _ahead_bytes = 32000

    @override
    def _ready(self, body: bytes) -> LinkReady:
        opened = _openings.decode(body)
        if opened.guessed:
            _log.info("the sound of %d words of the phrases is guessed", len(opened.guessed))
        return LinkReady(remote_id=str(opened.pid), model="en-us")


class Pocketsphinx:
    """English speech into text, in worker processes on this machine.

    * `phrase_bias`: by how much the phrases' explanation of the sound must beat the general
      model's, in the decoder's logarithmic score for each second of sound. Raise it and less is
      taken for a phrase.
    * `interim_milliseconds`: sound between two looks for new words.
    * `beam`: hypotheses less likely than the best by this factor are given up (1e-48 is the
      model's own; nearer to 1 is faster and worse).
    * `segment_seconds`: in a longer utterance the decoder starts afresh, keeping what it found.
    * `max_waiting_seconds`: sound that may wait for a slow decoder before the oldest is dropped.
    * `answer_seconds`: after which a process that owes an answer is given up.
    * `start_seconds`: how long starting may take.

    It gives up to nine other readings of an utterance (`SttOptions.alternatives`), which differ in
    what was said since its last segment began. Raises `ConfigurationError` for settings that make
    no sense; `connect` raises `Unsupported` for what it cannot do, and `MissingExtra` without the
    extra `local`.
    """

    extra = "local"
    name = "pocketsphinx"
    capabilities = Capabilities(
        input_formats=(FORMAT,),
        turn_owners=(TurnOwner.FRAMEWORK,),
        is_local=True,
        has_interim_transcripts=True,
        has_word_times=True,
        languages=frozenset({"en", "en-US"}),
        settings=frozenset({"phrases", "wants_words", "alternatives"}),
    )
    phrase_limits = PhraseLimits()
    """As many as there is memory for."""

    def __init__(
        self,
        *,
        phrase_bias: float = 0.05,
        interim_milliseconds: int = 200,
        beam: float = 1e-48,
        segment_seconds: float = 40.0,
        max_waiting_seconds: float = 30.0,
        answer_seconds: float = 30.0,
        start_seconds: float = 20.0,
    ) -> None:
        if answer_seconds <= 0:
            raise ConfigurationError("answer_seconds should be above 0", op="stt")
        self._phrase_bias = phrase_bias
        self._interim_samples = interim_milliseconds * FORMAT.rate // 1000
        self._settings = msgspec.json.encode({"beam": beam}).decode()
        self._longest_samples = int(segment_seconds * FORMAT.rate)
        self._max_waiting_bytes = int(max_waiting_seconds * FORMAT.rate) * 2
        self._answer_seconds = answer_seconds
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[PocketsphinxLink]:
        """A link to a process of its own; the model is loaded by the first."""
        refuse_unsupported_stt(options, self.capabilities, self.name)
        require("pocketsphinx", "PocketSphinx", extra="local")
        request = wire.Open(
            phrases=options.phrases,
            bias=self._phrase_bias,
            longest_samples=self._longest_samples,
            interim_samples=self._interim_samples if options.wants_interim else 0,
            other_readings=options.alternatives - 1,
        )
        link = PocketsphinxLink(
            max_waiting_bytes=self._max_waiting_bytes, answer_seconds=self._answer_seconds
        )
        async with link.running(
            _MODULE, self._settings, opening=request, within_seconds=self._start_seconds
        ):
            yield link

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the model loaded between links, for as long as the context lasts."""
        require("pocketsphinx", "PocketSphinx", extra="local")
        return keep_warm(_MODULE, self._settings)
