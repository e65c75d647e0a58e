"""A cascade whose agent is a brain, and whose voice takes its time and can be lost."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress

from beluga_voice.audio.formats import pcm16
from beluga_voice.errors import ProviderError, ToolFailed
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    LinkClosed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    TimedWord,
    ToolCallId,
    ToolResult,
    TtsCommand,
    TtsEvent,
)
from beluga_voice.interfaces import AgentTurn, Capabilities, SpeechToSpeech, TtsOptions
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.testing.conformance import Peer
from beluga_voice.testing.emulators.speech import Asked, Brain, Calls, Pace, Speaks, answer
from beluga_voice.testing.scripted import ScriptedStt
from beluga_voice.testing.speech import WORD_MS, SpokenWord, speech
from beluga_voice.transports.feed import Feed

RATE = 24000


class BrainAgent:
    """An agent that does what a brain decides."""

    def __init__(self, brain: Brain, thinking_ms: float = 0) -> None:
        self._brain = brain
        self._thinking_ms = thinking_ms
        self._known: set[ToolCallId] = set()

    async def respond(self, turn: AgentTurn, /) -> AsyncIterator[str]:
        """Speak, call tools and then think again, or fail."""
        tuple(self._new_results(turn))  # those of an earlier turn are no news
        text = turn.text
        while True:
            await asyncio.sleep(self._thinking_ms / 1000)
            results = tuple(self._new_results(turn))
            asked = Asked(
                text=text,
                instructions=turn.instructions,
                history=tuple(turn.history),
                tools=tuple(turn.tools),
                results=results,
            )
            has_called = False
            for deed in answer(self._brain, asked):
                match deed:
                    case Speaks():
                        yield deed.text
                    case Calls():
                        has_called = True
                        with suppress(ToolFailed):  # the history tells of it
                            await turn.call_tool(deed.name, deed.arguments)
                    case _:
                        raise ProviderError(deed.message, op="brain")
            if not has_called:
                return
            text = ""

    def _new_results(self, turn: AgentTurn) -> Iterator[ToolResult]:
        """What tools gave since it was asked last, by the history."""
        for item in turn.history:
            if isinstance(item, ToolResult) and item.call_id not in self._known:
                self._known.add(item.call_id)
                yield item


class PacedTts:
    """Speaks test speech word by word, one every `word_ms`; is lost after so much of it."""

    def __init__(self, *, word_ms: float = 0, lost_after_ms: float | None = None) -> None:
        self.name = "paced_tts"
        self.word_ms = word_ms
        self.lost_after_ms = lost_after_ms
        self.capabilities = Capabilities(
            output_formats=(pcm16(RATE),), is_local=True, has_word_times=True
        )

    @asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> "AsyncGenerator[PacedTtsLink]":
        """A link that speaks; only the first one is lost."""
        lost_after_ms, self.lost_after_ms = self.lost_after_ms, None
        link = PacedTtsLink(self.word_ms, lost_after_ms)
        try:
            yield link
        finally:
            link.close()


class PacedTtsLink:
    """See `PacedTts`."""

    def __init__(self, word_ms: float, lost_after_ms: float | None) -> None:
        self._word_ms = word_ms
        self._lost_after_ms = lost_after_ms
        self._spoken_ms = 0.0
        self._feed: Feed[TtsEvent] = Feed()
        self._to_say: deque[tuple[ContextId, SpokenWord | None]] = deque()
        self._positions: dict[ContextId, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def send(self, command: TtsCommand, /) -> None:
        """Take text, or an order."""
        context_id = command.context_id
        match command:
            case SpeakText():
                words = speech(command.text, rate=RATE)
                self._to_say.extend((context_id, word) for word in words)
            case FinishSpeech():
                self._to_say.append((context_id, None))
            case CancelSpeech():
                self._to_say = deque(one for one in self._to_say if one[0] != context_id)
        self._go_on(0)

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        """Deliver by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[TtsEvent]:
        return aiter(self._feed)

    def close(self) -> None:
        """Nothing follows, and no timer is left."""
        if self._timer is not None:
            self._timer.cancel()
        self._to_say.clear()
        self._feed.put(LinkClosed(is_clean=True))
        self._feed.close()

    def _go_on(self, after_ms: float) -> None:
        if self._timer is None and self._to_say and not self._feed.is_closed:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(after_ms / 1000, self._next)

    def _next(self) -> None:
        self._timer = None
        if not self._to_say:
            return
        context_id, word = self._to_say.popleft()
        if word is None:
            self._feed.put(SpeechDone(context_id=context_id))
            self._go_on(0)
            return
        start = self._positions.get(context_id, 0)
        pcm = b"".join(word.frames)
        end = self._positions[context_id] = start + len(pcm) // 2
        self._feed.put(SpeechAudio(context_id=context_id, pcm=pcm))
        timed = TimedWord(text=word.text, start=start, end=end)
        self._feed.put(SpeechWords(context_id=context_id, words=(timed,)))
        self._spoken_ms += WORD_MS
        if self._lost_after_ms is not None and self._spoken_ms >= self._lost_after_ms:
            self._feed.put(LinkClosed(is_clean=False, reason="lost"))
            self._feed.close()
        # The end of the text comes with its last word.
        is_word = bool(self._to_say) and self._to_say[0][1] is not None
        self._go_on(self._word_ms if is_word else 0)


@asynccontextmanager
async def cascade(peer: Peer) -> AsyncGenerator[SpeechToSpeech]:
    """The cascade, of parts that are like the peer."""
    pace: Pace = peer.pace
    yield Cascade(
        ScriptedStt(delay_ms=pace.transcript_ms, interim=True),
        BrainAgent(peer.brain, pace.thinking_ms),
        PacedTts(word_ms=pace.word_ms, lost_after_ms=peer.faults.drop_after_audio_ms),
    )
