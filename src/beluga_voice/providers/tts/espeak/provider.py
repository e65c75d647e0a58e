"""Text into speech by eSpeak NG: any of a hundred languages, offline, at once, robotic.

The first sound comes within a millisecond or two of the text, and speaking takes a thousandth of
the time it sounds. The library is under GPL-3, so it is no part of this package: it comes with
the extra `local` and is used only by a separate process, over a socket (see `workers`).
"""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import assert_never

import msgspec

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import AlreadyClosed, Misuse, Silent, Unreachable, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import Capabilities, Faithfulness, TtsOptions, Voice, output_format_of
from beluga_voice.providers.tts.espeak import _voices
from beluga_voice.providers.tts.espeak import _wire as wire
from beluga_voice.providers.workers import Inbox, Worker, keep_warm, open_worker, require

_MODULE = "beluga_voice.providers.tts.espeak.worker"
_VOICE = re.compile(r"[A-Za-z0-9_+-]{1,40}")
_SLOWEST, _FASTEST = 80, 450
_HIGHEST = 99

_requests = msgspec.msgpack.Encoder()
_answers: msgspec.msgpack.Decoder[wire.Answer] = msgspec.msgpack.Decoder(wire.Answer)


class EspeakLink:
    """Text going out, sound and the places of words coming in.

    Text waits in the process that speaks, `max_waiting_characters` of it in all; more is refused
    with `Misuse`, nothing is dropped. Sound that nobody reads stops the speaking when there are
    `room_bytes` of it here and the socket is full.
    """

    def __init__(self, *, room_bytes: int, max_waiting_characters: int) -> None:
        self._inbox: Inbox[TtsEvent] = Inbox(room=room_bytes, cost=_bytes_of, on_room=self._resume)
        self._max_waiting = max_waiting_characters
        self._waiting: list[int] = []
        self._cancelling: Counter[str] = Counter()
        self._worker: Worker | None = None
        self._opened: asyncio.Future[wire.Opened] | None = None

    def send(self, command: TtsCommand, /) -> None:
        """Give an order. Raises `Misuse` for too much text, `AlreadyClosed` at the end."""
        if self._inbox.is_ended or self._worker is None:
            raise AlreadyClosed("the link is closed", op="tts.send")
        request: wire.Request
        match command:
            case SpeakText(context_id=context_id, text=text):
                if sum(self._waiting) + len(text) > self._max_waiting:
                    raise Misuse(
                        f"more than {self._max_waiting} characters would wait; send less at once",
                        op="tts.send",
                    )
                self._waiting.append(len(text))
                request = wire.Speak(
                    context_id=context_id, text=text.encode("utf-8", "replace").decode()
                )
            case FinishSpeech(context_id=context_id):
                request = wire.Finish(context_id=context_id)
            case CancelSpeech(context_id=context_id):
                self._cancelling[context_id] += 1
                self._inbox.discard(lambda event: _context_of(event) == context_id)
                request = wire.Cancel(context_id=context_id)
            case _:
                assert_never(command)
        self._worker.send(_requests.encode(request))

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        """Deliver events by call."""
        self._inbox.attach(deliver)

    def __aiter__(self) -> AsyncIterator[TtsEvent]:
        """Events up to and including `LinkClosed`."""
        return aiter(self._inbox)

    async def open(self, worker: Worker, request: wire.Open, *, within_seconds: float) -> None:
        """Wait until the worker can speak; raises `Unsupported`, `Unreachable` or `Silent`."""
        self._worker = worker
        self._opened = asyncio.get_running_loop().create_future()
        worker.send(_requests.encode(request))
        try:
            async with asyncio.timeout(within_seconds):
                opened = await self._opened
        except TimeoutError as error:
            raise Silent("the speaking process did not start", op="connect") from error
        if opened.voice is None:
            raise Unsupported(f"there is no voice {request.voices[0]!r}", op="tts.connect")
        self._inbox.put(LinkReady(remote_id=str(opened.pid), model=opened.voice))

    def receive(self, body: bytes) -> None:
        """Take an answer of the worker."""
        answer = _answers.decode(body)
        match answer:
            case wire.Opened():
                if self._opened is not None and not self._opened.done():
                    self._opened.set_result(answer)
            case wire.Audio(context_id=context_id, pcm=pcm):
                self._put(SpeechAudio(context_id=ContextId(context_id), pcm=pcm))
            case wire.Words(context_id=context_id, words=words):
                timed = tuple(
                    TimedWord(text=word.text, start=word.start, end=word.end) for word in words
                )
                self._put(SpeechWords(context_id=ContextId(context_id), words=timed))
            case wire.Spoken():
                del self._waiting[0]
            case wire.Done(context_id=context_id):
                self._put(SpeechDone(context_id=ContextId(context_id)))
            case wire.Cancelled(context_id=context_id):
                self._cancelling[context_id] -= 1
                if not self._cancelling[context_id]:
                    del self._cancelling[context_id]
            case _:
                assert_never(answer)

    def fail(self) -> None:
        """The worker is gone."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(
                Unreachable("the speaking process ended while it started", op="connect")
            )
            return
        reason = "the speaking process ended"
        self._inbox.end(
            ServiceFailed(category=ErrorCategory.RETRYABLE, message=reason, is_fatal=True),
            LinkClosed(is_clean=False, reason=reason),
        )

    def close(self) -> None:
        """End in order."""
        self._inbox.end(LinkClosed(is_clean=True))

    def _put(self, event: SpeechAudio | SpeechWords | SpeechDone) -> None:
        if event.context_id in self._cancelling:
            return
        self._inbox.put(event)
        if self._inbox.is_full and self._worker is not None:
            self._worker.pause()

    def _resume(self) -> None:
        if self._worker is not None:
            self._worker.resume()


def _bytes_of(event: TtsEvent) -> int:
    return len(event.pcm) if isinstance(event, SpeechAudio) else 0


def _context_of(event: TtsEvent) -> ContextId | None:
    match event:
        case SpeechAudio() | SpeechWords() | SpeechDone():
            return event.context_id
        case _:
            return None


class Espeak:
    """Speech from text, in worker processes on this machine.

    * `voice`: the voice when the options name none; "en-us+f5" is a language and a variant.
    * `words_per_minute`: its pace at speed 1; with the speed it must stay within 80 to 450.
    * `pitch`: 0 to 100.
    * `max_waiting_characters`: text that may wait to be spoken.
    * `room_seconds`: sound that may wait to be read before speaking pauses.
    * `start_seconds`: how long starting may take.

    Voice, pace and pitch are those that a speech recogniser understood best.
    Raises `Unsupported` for a pitch out of range; `connect` raises `MissingExtra` without the
    extra `local`.
    """

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
        start_seconds: float = 20.0,
    ) -> None:
        if not 0 <= pitch <= 100:
            raise Unsupported(f"a pitch of {pitch} is outside 0 to 100", op="tts")
        self._voice = voice
        self._words_per_minute = words_per_minute
        self._pitch = pitch
        self._max_waiting_characters = max_waiting_characters
        self._room_seconds = room_seconds
        self._start_seconds = start_seconds

    @contextlib.asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> AsyncGenerator[EspeakLink]:
        """A link to a process of its own; raises `Unsupported` for a voice it does not have."""
        request = self._request(options)
        require("espeakng_loader", "eSpeak NG", extra="local")
        link = EspeakLink(
            room_bytes=int(self._room_seconds * request.rate) * 2,
            max_waiting_characters=self._max_waiting_characters,
        )
        async with open_worker(_MODULE, receive=link.receive, ended=link.fail) as worker:
            await link.open(worker, request, within_seconds=self._start_seconds)
            try:
                yield link
            finally:
                link.close()

    def warm(self) -> AbstractAsyncContextManager[None]:
        """Keep the library loaded between links, for as long as the context lasts."""
        require("espeakng_loader", "eSpeak NG", extra="local")
        return keep_warm(_MODULE)

    async def voices(self) -> tuple[Voice, ...]:
        """The voices in the package; a variant is added to one, as in `en-us+f5`."""
        require("espeakng_loader", "eSpeak NG", extra="local")
        return _voices.voices()

    def _request(self, options: TtsOptions) -> wire.Open:
        output = output_format_of(self.capabilities, options.output_format)
        if output not in self.capabilities.output_formats:
            raise Unsupported(f"it does not speak in {output}", op="tts.connect")
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
