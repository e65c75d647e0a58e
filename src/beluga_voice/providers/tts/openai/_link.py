"""Contexts over requests: a request for each sentence, and the next one ahead of time.

How it works. The text of a context is cut into sentences, and each is a *piece*: a request whose
answer is read as it comes. Of a context, two pieces are under way at most. The first of them is
heard at once; what comes of the second waits for it, up to a bound, beyond which its answer is not
read on. A request that broke off before its first sound is made once more, because a connection
that was kept open may have been closed from the other side.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, assert_never

from beluga_voice.audio.formats import Encoding
from beluga_voice.errors import BrokenProtocol
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
    TtsCommand,
    TtsEvent,
    Usage,
    UsageReported,
)
from beluga_voice.providers.mute import NOTHING_SPOKEN, is_mute
from beluga_voice.providers.openai.requests import expect_success
from beluga_voice.providers.requests import RequestFailed, unexpected
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.providers.tts.openai._body import Body, kind_of
from beluga_voice.sendable import sendable
from beluga_voice.transports.feed import Feed

if TYPE_CHECKING:
    import httpx

PIECES = 2
"""Requests of one context that are under way at once."""
MAX_WAITING_BYTES = 2_880_000
"""Sound of a piece that waits for its turn: a minute at 24 kHz."""
MAX_UNREAD = 10_000
REMEMBERED = 1000
"""How many cancelled contexts are remembered, for text of theirs that comes late."""
PAUSE_SECONDS = 0.05
"""Text that ends like a sentence is one, if nothing follows for so long."""
STALL_SECONDS = 0.5
"""All other text is spoken as it is, if nothing follows for so long: better than silence."""

_WORD = re.compile(r"\w")
_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s*$")

type Ask = Callable[[str], AbstractAsyncContextManager["httpx.Response"]]
"""Asks for the sound of a text; raises `RequestFailed`."""


@dataclass(slots=True, eq=False)
class _Piece:
    text: str
    sound: list[bytes] = field(default_factory=list[bytes])
    """What waits for its turn."""
    waiting_bytes: int = 0
    is_first: asyncio.Event = field(default_factory=asyncio.Event)
    has_sounded: bool = False
    is_done: bool = False
    task: "asyncio.Task[None] | None" = None


@dataclass(slots=True, eq=False)
class _Context:
    id: ContextId
    cutter: Sentences = field(default_factory=Sentences)
    tail: str = ""
    """The end of the text that came so far."""
    sentences: deque[str] = field(default_factory=deque[str])
    pieces: deque[_Piece] = field(default_factory=deque[_Piece])
    is_finished: bool = False
    has_word: bool = False
    samples: int = 0
    is_mute: bool = True
    """There was nothing to hear in it so far."""
    characters: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    pause: asyncio.TimerHandle | None = None


class SpeechLink:
    """See above; alive until `close`."""

    def __init__(self, ask: Ask, *, rate: int, model: str) -> None:
        self._ask = ask
        self._rate = rate
        self._feed: Feed[TtsEvent] = Feed()
        self._contexts: dict[ContextId, _Context] = {}
        self._cancelled: dict[ContextId, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_read = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._feed.put(LinkReady(model=model))

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)
        self._was_read.set()

    async def __aiter__(self) -> AsyncIterator[TtsEvent]:
        async for event in self._feed:
            self._was_read.set()
            yield event

    def send(self, command: TtsCommand, /) -> None:
        """Take text, or an order."""
        if self._feed.is_closed:
            return
        match command:
            case SpeakText():
                self._speak(command)
            case FinishSpeech(context_id=context_id):
                if context_id in self._cancelled:
                    return
                context = self._context(context_id)
                context.sentences.extend(context.cutter.flush())
                context.is_finished = True
                self._stop_pause(context)
                # Not at once: nobody who sends expects to be called back.
                self._loop.call_soon(self._go_on, context)
            case CancelSpeech(context_id=context_id):
                self._cancel(context_id)
            case _:
                assert_never(command)

    def _speak(self, command: SpeakText) -> None:
        if command.context_id in self._cancelled or not command.text:
            return
        context = self._context(command.context_id)
        context.characters += len(command.text)
        context.has_word = context.has_word or _WORD.search(command.text) is not None
        context.sentences.extend(context.cutter.feed(sendable(command.text)))
        context.tail = (context.tail + command.text)[-8:]
        self._stop_pause(context)
        seconds = PAUSE_SECONDS if _END.search(context.tail) else STALL_SECONDS
        context.pause = self._loop.call_later(seconds, self._paused, context)
        self._go_on(context)

    def _paused(self, context: _Context) -> None:
        context.pause = None
        context.sentences.extend(context.cutter.flush())
        self._go_on(context)

    def _stop_pause(self, context: _Context) -> None:
        if context.pause is not None:
            context.pause.cancel()
            context.pause = None

    def _context(self, context_id: ContextId) -> _Context:
        return self._contexts.setdefault(context_id, _Context(context_id))

    def _cancel(self, context_id: ContextId) -> None:
        self._cancelled[context_id] = None
        if len(self._cancelled) > REMEMBERED:
            del self._cancelled[next(iter(self._cancelled))]
        context = self._contexts.pop(context_id, None)
        if context is not None:
            self._drop(context)

    def _drop(self, context: _Context) -> None:
        self._stop_pause(context)
        for piece in context.pieces:
            if piece.task is not None:
                piece.task.cancel()

    def _is_live(self, context: _Context) -> bool:
        return not self._feed.is_closed and self._contexts.get(context.id) is context

    # ── pieces ──────────────────────────────────────────────────────────────────────────────

    def _go_on(self, context: _Context) -> None:
        """Begin what may begin, and end what is over."""
        if not self._is_live(context):
            return
        while context.pieces and context.pieces[0].is_done:
            context.pieces.popleft()
            if context.pieces:
                self._sound_first(context, context.pieces[0])
                if not self._is_live(context):
                    return
        while context.sentences and len(context.pieces) < PIECES:
            piece = _Piece(context.sentences.popleft())
            if not _WORD.search(piece.text):
                continue  # marks alone have no sound
            if not context.pieces:
                piece.is_first.set()
            context.pieces.append(piece)
            name = f"beluga-voice speech {context.id}"
            piece.task = self._loop.create_task(self._make(context, piece), name=name)
            self._tasks.add(piece.task)
            piece.task.add_done_callback(self._tasks.discard)
        if context.is_finished and not context.pieces:
            self._finish(context)

    def _sound_first(self, context: _Context, piece: _Piece) -> None:
        """It is the turn of that piece: what waits of it is heard."""
        piece.is_first.set()
        waiting, piece.sound, piece.waiting_bytes = piece.sound, [], 0
        for pcm in waiting:
            self._give(context, pcm)

    async def _make(self, context: _Context, piece: _Piece) -> None:
        try:
            try:
                await self._read(context, piece)
            except RequestFailed as failed:
                if piece.has_sounded or failed.failure.category is not ErrorCategory.RETRYABLE:
                    raise
                await self._read(context, piece)
        except RequestFailed as failed:
            self._fail(failed.failure)
        except BrokenProtocol as error:
            category = ErrorCategory.RETRYABLE
            self._fail(ServiceFailed(category=category, message=error.message, is_fatal=True))
        except Exception as error:
            self._fail(unexpected(error))
        else:
            piece.is_done = True
            self._go_on(context)

    async def _read(self, context: _Context, piece: _Piece) -> None:
        async with self._ask(piece.text) as response:
            await expect_success(response)
            content_type = response.headers.get("content-type", "")
            kind = kind_of(content_type)
            if kind is None:
                seen = f"the service answers {content_type[:60]!r} where PCM was asked for"
                raise RequestFailed(_invalid(f"{seen}; check the endpoint"))
            body = Body(kind, self._rate)
            async for data in response.aiter_bytes():
                await self._take(context, piece, body, body.feed(data))
            await self._take(context, piece, body, body.end())
        context.input_tokens = _sum(context.input_tokens, body.usage.input_tokens)
        context.output_tokens = _sum(context.output_tokens, body.usage.output_tokens)

    async def _take(self, context: _Context, piece: _Piece, body: Body, pcm: bytes) -> None:
        """Sound of a piece, and what was wrong with it."""
        for problem in body.problems:
            if problem.is_fatal:
                raise RequestFailed(problem)
            self._feed.put(problem)
        body.problems.clear()
        if pcm:
            piece.has_sounded = True
            if piece.is_first.is_set():
                self._give(context, pcm)
            else:
                piece.sound.append(pcm)
                piece.waiting_bytes += len(pcm)
        if piece.waiting_bytes > MAX_WAITING_BYTES:
            await piece.is_first.wait()
        while self._feed.waiting > MAX_UNREAD:
            self._was_read.clear()
            await self._was_read.wait()

    def _give(self, context: _Context, pcm: bytes) -> None:
        if self._is_live(context):
            context.samples += len(pcm) // 2
            context.is_mute = context.is_mute and is_mute(pcm, Encoding.PCM16)
            self._feed.put(SpeechAudio(context_id=context.id, pcm=pcm))

    # ── ends ────────────────────────────────────────────────────────────────────────────────

    def _finish(self, context: _Context) -> None:
        del self._contexts[context.id]
        if context.has_word and context.is_mute:
            message = "the service spoke without a sound; check the voice and the quota"
            message = NOTHING_SPOKEN if context.samples else message
            category = ErrorCategory.RETRYABLE
            self._feed.put(ServiceFailed(category=category, message=message))
        if context.characters:
            usage = Usage(
                characters=context.characters,
                input_tokens=context.input_tokens,
                output_tokens=context.output_tokens,
            )
            self._feed.put(UsageReported(usage=usage))
        self._feed.put(SpeechDone(context_id=context.id))

    def _fail(self, failure: ServiceFailed) -> None:
        self._feed.put(failure)
        self._end(LinkClosed(is_clean=False, reason=failure.message))

    def _end(self, closed: LinkClosed) -> None:
        if self._feed.is_closed:
            return
        self._feed.put(closed)
        self._feed.close()
        me = asyncio.current_task()
        for context in self._contexts.values():
            self._stop_pause(context)
        for task in self._tasks:
            if task is not me:
                task.cancel()

    async def close(self) -> None:
        """End in order: nothing is left behind."""
        self._end(LinkClosed(is_clean=True, reason="closed by us"))
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _sum(so_far: int | None, more: int | None) -> int | None:
    return so_far if more is None else (so_far or 0) + more


def _invalid(message: str) -> ServiceFailed:
    return ServiceFailed(category=ErrorCategory.INVALID_REQUEST, message=message, is_fatal=True)
