"""Speech into text by PocketSphinx: English, offline, modest.

It understands clear speech into a near microphone. Give it the phrases the agent expects
(`SttOptions.phrases`) and those are recognised almost without error, also numbers, times and
names that a general model often gets wrong; everything else stays possible. Quality for all of
English in any room needs another provider.

The decoder holds the interpreter's lock while it works, so it lives in a process of its own,
forked for each link from one that has loaded the model (see `workers`).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_never

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import AlreadyClosed, Silent, Unreachable, Unsupported
from beluga_voice.events import (
    DropUtterance,
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, TurnOwner
from beluga_voice.providers.stt.pocketsphinx import _wire as wire
from beluga_voice.providers.workers import Inbox, Worker, keep_warm, open_worker, require

_MODULE = "beluga_voice.providers.stt.pocketsphinx.worker"
_FORMAT = pcm16(16000)
_PIECE_SAMPLES = 1600
_AHEAD_SAMPLES = 16000
"""How much sound the worker may have and not yet have answered for."""

_log = logging.getLogger(__name__)
_requests = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


class PocketsphinxLink:
    """One person's sound going out, transcripts coming in.

    The outbox holds `max_waiting_seconds` of sound beyond what the decoder has; when it falls
    further behind, the oldest waiting sound is dropped and counted in `dropped_samples`. Orders
    are never dropped.
    """

    def __init__(self, *, has_interim: bool, max_waiting_samples: int) -> None:
        self._has_interim = has_interim
        self._max_waiting = max_waiting_samples
        self._inbox: Inbox[SttEvent] = Inbox()
        self._outbox: deque[SttCommand] = deque()
        self._waiting_samples = 0
        self._ahead_samples = 0
        self._unanswered: deque[int] = deque()
        self._drops = 0
        self._worker: Worker | None = None
        self._opened: asyncio.Future[wire.Opened] | None = None
        self.dropped_samples = 0

    def send(self, command: SttCommand, /) -> None:
        """Queue a command. Raises `WrongFormat` for half a sample, `AlreadyClosed` at the end."""
        if self._inbox.is_ended:
            raise AlreadyClosed("the link is closed", op="stt.send")
        match command:
            case SendAudio(pcm=pcm):
                _FORMAT.samples(pcm)
                for at in range(0, len(pcm), 2 * _PIECE_SAMPLES):
                    piece = pcm[at : at + 2 * _PIECE_SAMPLES]
                    self._outbox.append(SendAudio(pcm=piece))
                    self._waiting_samples += len(piece) // 2
            case FinishUtterance():
                self._outbox.append(command)
            case DropUtterance():
                while self._outbox and isinstance(self._outbox[-1], SendAudio):
                    self._forget(len(self._outbox) - 1)
                self._outbox.append(command)
                self._drops += 1
            case _:
                assert_never(command)
        self._write()
        self._shed()

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        """Deliver events by call."""
        self._inbox.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        """Events up to and including `LinkClosed`."""
        return aiter(self._inbox)

    async def open(self, worker: Worker, request: wire.Open, *, within_seconds: float) -> None:
        """Wait until the worker listens; raises `Unreachable` or `Silent`."""
        self._worker = worker
        self._opened = asyncio.get_running_loop().create_future()
        worker.send(_requests.encode(request))
        self._unanswered.append(0)
        try:
            async with asyncio.timeout(within_seconds):
                opened = await self._opened
        except TimeoutError as error:
            raise Silent("the recogniser did not start", op="connect") from error
        if opened.guessed:
            _log.info("the sound of %d words of the phrases is guessed", len(opened.guessed))
        self._inbox.put(LinkReady(remote_id=str(opened.pid), model="en-us"))

    def receive(self, body: bytes) -> None:
        """Take an answer of the worker."""
        answer = _answers.decode(body)
        self._ahead_samples -= self._unanswered.popleft()
        match answer:
            case wire.Opened():
                if self._opened is not None and not self._opened.done():
                    self._opened.set_result(answer)
            case wire.Heard(text=text):
                if text is not None and self._has_interim and not self._drops:
                    self._inbox.put(Transcript(text=text, is_final=False, language="en"))
            case wire.Finished():
                self._inbox.put(_final(answer))
            case wire.Dropped():
                self._drops -= 1
            case _:
                assert_never(answer)
        self._write()

    def fail(self) -> None:
        """The worker is gone."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(
                Unreachable("the recogniser ended while it started", op="connect")
            )
            return
        reason = "the recogniser's process ended"
        self._inbox.end(
            ServiceFailed(category=ErrorCategory.RETRYABLE, message=reason, is_fatal=True),
            LinkClosed(is_clean=False, reason=reason),
        )

    def close(self) -> None:
        """End in order."""
        self._inbox.end(LinkClosed(is_clean=True))

    def _write(self) -> None:
        """Give the worker what it has room for."""
        while self._worker is not None and self._outbox:
            command = self._outbox[0]
            samples = 0
            request: wire.Request
            match command:
                case SendAudio(pcm=pcm):
                    if self._ahead_samples >= _AHEAD_SAMPLES:
                        return
                    samples = len(pcm) // 2
                    request = wire.Hear(pcm=pcm)
                case FinishUtterance(utterance_id=utterance_id):
                    request = wire.Finish(utterance_id=utterance_id)
                case DropUtterance():
                    request = wire.Drop()
                case _:
                    assert_never(command)
            self._outbox.popleft()
            self._waiting_samples -= samples
            self._ahead_samples += samples
            self._unanswered.append(samples)
            self._worker.send(_requests.encode(request))

    def _shed(self) -> None:
        while self._waiting_samples > self._max_waiting:
            oldest = next(
                at for at, command in enumerate(self._outbox) if isinstance(command, SendAudio)
            )
            self.dropped_samples += self._forget(oldest)

    def _forget(self, at: int) -> int:
        command = self._outbox[at]
        del self._outbox[at]
        samples = len(command.pcm) // 2 if isinstance(command, SendAudio) else 0
        self._waiting_samples -= samples
        return samples


def _final(answer: wire.Finished) -> Transcript:
    words = tuple(
        TimedWord(text=word.text, start=word.start, end=word.end, confidence=word.confidence)
        for word in answer.words
    )
    known = [word.confidence for word in answer.words]
    return Transcript(
        text=" ".join(word.text for word in words),
        is_final=True,
        utterance_id=UtteranceId(answer.utterance_id),
        words=words,
        confidence=sum(known) / len(known) if known else None,
        language="en",
    )


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
    * `start_seconds`: how long starting may take.

    Raises nothing before `connect`; that raises `MissingExtra` without the extra `local`.
    """

    name = "pocketsphinx"
    capabilities = Capabilities(
        input_formats=(_FORMAT,),
        turn_owners=(TurnOwner.FRAMEWORK,),
        is_local=True,
        has_interim_transcripts=True,
        has_word_times=True,
        languages=frozenset({"en", "en-US"}),
        settings=frozenset({"phrases", "wants_words"}),
    )

    def __init__(
        self,
        *,
        phrase_bias: float = 0.05,
        interim_milliseconds: int = 200,
        beam: float = 1e-48,
        segment_seconds: float = 40.0,
        max_waiting_seconds: float = 30.0,
        start_seconds: float = 20.0,
    ) -> None:
        self._phrase_bias = phrase_bias
        self._interim_samples = interim_milliseconds * _FORMAT.rate // 1000
        self._settings = msgspec.json.encode({"beam": beam}).decode()
        self._longest_samples = int(segment_seconds * _FORMAT.rate)
        self._max_waiting_samples = int(max_waiting_seconds * _FORMAT.rate)
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: SttOptions, /) -> AsyncGenerator[PocketsphinxLink]:
        """A link to a process of its own; the model is loaded by the first."""
        if options.input_format not in (None, _FORMAT):
            raise Unsupported("it hears 16000 Hz mono pcm16 only", op="stt.connect")
        if options.language and options.language.lower().replace("_", "-").split("-")[0] != "en":
            raise Unsupported(f"it knows English, not {options.language!r}", op="stt.connect")
        require("pocketsphinx", "PocketSphinx", extra="local")
        link = PocketsphinxLink(
            has_interim=options.wants_interim, max_waiting_samples=self._max_waiting_samples
        )
        request = wire.Open(
            phrases=options.phrases,
            bias=self._phrase_bias,
            longest_samples=self._longest_samples,
            interim_samples=self._interim_samples if options.wants_interim else 0,
        )
        async with open_worker(
            _MODULE, self._settings, receive=link.receive, ended=link.fail
        ) as worker:
            await link.open(worker, request, within_seconds=self._start_seconds)
            try:
                yield link
            finally:
                link.close()

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the model loaded between links, for as long as the context lasts."""
        require("pocketsphinx", "PocketSphinx", extra="local")
        return keep_warm(_MODULE, self._settings)
