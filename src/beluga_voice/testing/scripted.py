"""Scripted services: they do what a test says, and report what it did not expect.

`ScriptedProvider` follows an async function, for exact control over any kind of link.
`ScriptedStt` and `ScriptedTts` behave like good services that read and write test speech, with
delays. `ScriptedVad` hears test speech.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from beluga_voice.audio.formats import FRAME_MILLISECONDS, pcm16, to_samples
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    DropUtterance,
    FinishSpeech,
    FinishUtterance,
    LinkClosed,
    SendAudio,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    SttCommand,
    SttEvent,
    TimedWord,
    Transcript,
    TtsCommand,
    TtsEvent,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, SttOptions, TtsOptions
from beluga_voice.testing.speech import WORD_MS, SpokenWord, is_loud, speech, words_in
from beluga_voice.transports.feed import Feed


class Unexpected(AssertionError):
    """A scripted peer got something its script does not have, or did not get what it has."""


class ScriptedLink[S, R]:
    """The service's side of a link, for a script; and the link itself, for the session."""

    def __init__(self) -> None:
        self.feed: Feed[R] = Feed()
        self.commands: deque[S] = deque()
        """What was sent and not yet expected, without sound."""
        self._sound = bytearray()
        self._arrived = asyncio.Event()

    @property
    def sound(self) -> bytes:
        """All the sound that was sent."""
        return bytes(self._sound)

    def send(self, command: S, /) -> None:
        """Called by the session."""
        if isinstance(command, SendAudio):
            self._sound += command.pcm
        else:
            self.commands.append(command)
            self._arrived.set()

    def attach(self, deliver: Callable[[R], None], /) -> None:
        """Called by the session."""
        self.feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[R]:
        return aiter(self.feed)

    def emit(self, *events: R) -> None:
        """Give the session events."""
        for event in events:
            self.feed.put(event)
            if isinstance(event, LinkClosed):
                self.feed.close()

    async def expect[C](self, kind: type[C], **fields: object) -> C:
        """Wait for the next command, which must be of that kind with those fields."""
        while not self.commands:
            self._arrived.clear()
            await self._arrived.wait()
        command = self.commands.popleft()
        if not isinstance(command, kind):
            raise Unexpected(f"expected {kind.__name__}, got {command!r}")
        for name, value in fields.items():
            if getattr(command, name) != value:
                raise Unexpected(f"expected {name}={value!r} in {command!r}")
        return command


type Script = Callable[[ScriptedLink[Any, Any]], Awaitable[None]]


class ScriptedProvider:
    """A provider whose links follow scripts: the first connection the first, and so on.

    After its script ended, a link stays open and silent. `finish` raises `Unexpected` if a script
    failed, did not end, was never started, or left a command unexpected.
    """

    def __init__(
        self, *scripts: Script, name: str = "scripted", capabilities: Capabilities | None = None
    ) -> None:
        self.name = name
        self.capabilities = capabilities or Capabilities(has_tools=True)
        self.options: list[Any] = []
        """The options of each connection."""
        self.links: list[ScriptedLink[Any, Any]] = []
        self._scripts = deque(scripts)
        self._problems: list[str] = []

    @asynccontextmanager
    async def connect(self, options: Any, /) -> AsyncGenerator[ScriptedLink[Any, Any]]:
        """Start the next script."""
        if not self._scripts:
            raise Unexpected(f"{self.name} was connected to once more than it has scripts")
        script = self._scripts.popleft()
        self.options.append(options)
        link: ScriptedLink[Any, Any] = ScriptedLink()
        self.links.append(link)
        task = asyncio.create_task(self._follow(script, link), name=f"script of {self.name}")
        try:
            yield link
        finally:
            if not task.done():
                await asyncio.sleep(0)  # a script that has nothing left to wait for may end
            if not task.done():
                self._problems.append("a script did not end")
                task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            link.emit(LinkClosed(is_clean=True))
            self._problems += [f"unexpected: {command!r}" for command in link.commands]

    async def _follow(self, script: Script, link: ScriptedLink[Any, Any]) -> None:
        try:
            await script(link)
        except Unexpected as problem:
            self._problems.append(str(problem))
        except Exception as error:
            self._problems.append(f"a script failed: {type(error).__name__}: {error}")

    def finish(self) -> None:
        """Say what went otherwise than the scripts."""
        problems = self._problems + ["a script was never started" for _ in self._scripts]
        if problems:
            raise Unexpected("; ".join(problems))


class ScriptedVad:
    """Hears voice in any frame that is not digital silence."""

    def __init__(self, *, rate: int = 16000) -> None:
        self.rate = rate
        self.frame_samples = to_samples(FRAME_MILLISECONDS, rate)

    def process(self, frame: bytes, /) -> float:
        """1.0 or 0.0."""
        return 1.0 if is_loud(frame) else 0.0

    def reset(self) -> None:
        """There is no state."""


type Finals = Callable[[int, str], list[tuple[float, str]]]
"""Of an utterance's number, from 1, and its words: the final texts, each after so many ms."""


class ScriptedStt:
    """Reads the words in test speech: only those that arrived whole.

    The final transcript comes `delay_ms` after it was asked for; with `interim`, each word is
    reported as soon as it is whole, or `interim_ms` later. `finals` may say otherwise of each
    utterance: late, wrong, more than one, or none.
    """

    def __init__(
        self,
        *,
        delay_ms: float = 0,
        interim: bool = False,
        interim_ms: float = 0,
        is_continuous: bool = False,
        finals: Finals | None = None,
    ) -> None:
        self.name = "scripted_stt"
        self.delay_ms = delay_ms
        self.interim = interim
        self.interim_ms = interim_ms
        self._finals = finals
        self.utterances = 0
        """How many were finalised, over all links."""
        self.capabilities = Capabilities(
            is_local=True,
            has_interim_transcripts=interim,
            needs_continuous_input=is_continuous,
        )
        self.links: list[ScriptedSttLink] = []

    def finals_of(self, number: int, words: str) -> list[tuple[float, str]]:
        """The final texts of an utterance, each after so many ms."""
        return [(self.delay_ms, words)] if self._finals is None else self._finals(number, words)

    @asynccontextmanager
    async def connect(self, options: SttOptions, /) -> "AsyncGenerator[ScriptedSttLink]":
        """A link that reads."""
        link = ScriptedSttLink(self)
        self.links.append(link)
        try:
            yield link
        finally:
            link.close()


class ScriptedSttLink:
    """See `ScriptedStt`."""

    def __init__(self, provider: ScriptedStt) -> None:
        self._provider = provider
        self._feed: Feed[SttEvent] = Feed()
        self._sound: list[bytes] = []
        self._told = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """All the sound that came."""
        return bytes(self._received)

    def send(self, command: SttCommand, /) -> None:
        """Take sound, or an order."""
        match command:
            case SendAudio():
                self._received += command.pcm
                self._sound.append(command.pcm)
                if self._provider.interim:
                    self._report()
            case FinishUtterance():
                words = " ".join(words_in(b"".join(self._sound)))
                self._sound, self._told = [], 0
                self._finalise(words, command.utterance_id)
            case DropUtterance():
                self._sound, self._told = [], 0

    def attach(self, deliver: Callable[[SttEvent], None], /) -> None:
        """Deliver by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[SttEvent]:
        return aiter(self._feed)

    def tell(self, event: SttEvent) -> None:
        """Say something of its own accord."""
        self._feed.put(event)

    def lose(self, reason: str = "lost") -> None:
        """The service goes away."""
        self._feed.put(LinkClosed(is_clean=False, reason=reason))
        self.close()

    def close(self) -> None:
        """No more events, and no timer left."""
        for timer in self._timers:
            timer.cancel()
        self._feed.close()

    def emit(self, event: SttEvent) -> None:
        """Tell something that the sound does not say."""
        self._feed.put(event)

    def _report(self) -> None:
        words = words_in(b"".join(self._sound))
        if len(words) > self._told:
            self._told = len(words)
            interim = Transcript(text=" ".join(words), is_final=False)
            self._later(interim, self._provider.interim_ms)

    def _finalise(self, words: str, utterance_id: UtteranceId) -> None:
        self._provider.utterances += 1
        for delay_ms, text in self._provider.finals_of(self._provider.utterances, words):
            final = Transcript(text=text, is_final=True, utterance_id=utterance_id)
            self._later(final, delay_ms)

    def _later(self, event: SttEvent, delay_ms: float) -> None:
        if not delay_ms:
            self._feed.put(event)
            return
        loop = asyncio.get_running_loop()
        self._timers.add(loop.call_later(delay_ms / 1000, self._feed.put, event))


class ScriptedTts:
    """Speaks test speech, `word_ms` to a word, at once after `delay_ms`.

    With `making_ms`, each word is there so much later than the one before it. With
    `has_word_times`, it says where each word sounds.
    """

    def __init__(
        self,
        *,
        delay_ms: float = 0,
        word_ms: int = WORD_MS,
        making_ms: float = 0,
        rate: int = 24000,
        has_word_times: bool = True,
    ) -> None:
        self.name = "scripted_tts"
        self.delay_ms = delay_ms
        self.making_ms = making_ms
        self.word_ms = word_ms
        self.rate = rate
        self.capabilities = Capabilities(
            output_formats=(pcm16(rate),), is_local=True, has_word_times=has_word_times
        )
        self.links: list[ScriptedTtsLink] = []

    @asynccontextmanager
    async def connect(self, options: TtsOptions, /) -> "AsyncGenerator[ScriptedTtsLink]":
        """A link that speaks."""
        link = ScriptedTtsLink(self)
        self.links.append(link)
        try:
            yield link
        finally:
            link.close()


class ScriptedTtsLink:
    """See `ScriptedTts`."""

    def __init__(self, provider: ScriptedTts) -> None:
        self._provider = provider
        self._feed: Feed[TtsEvent] = Feed()
        self._positions: dict[ContextId, int] = {}
        self._cancelled: set[ContextId] = set()
        self._busy_until = 0.0
        self._timers: set[asyncio.TimerHandle] = set()
        self.texts: list[str] = []
        """Everything it was asked to speak."""

    def send(self, command: TtsCommand, /) -> None:
        """Take text, or an order."""
        match command:
            case SpeakText():
                self.texts.append(command.text)
                provider = self._provider
                for word in speech(command.text, rate=provider.rate, word_ms=provider.word_ms):
                    self._later(self._speaks(command.context_id, word), provider.making_ms)
            case FinishSpeech():
                self._later(lambda: self._finish(command.context_id))
            case CancelSpeech():
                self._cancelled.add(command.context_id)
                self._busy_until = 0.0

    def attach(self, deliver: Callable[[TtsEvent], None], /) -> None:
        """Deliver by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[TtsEvent]:
        return aiter(self._feed)

    def lose(self, reason: str = "lost") -> None:
        """The service goes away."""
        self._feed.put(LinkClosed(is_clean=False, reason=reason))
        self.close()

    def close(self) -> None:
        """No more events, and no timer left."""
        for timer in self._timers:
            timer.cancel()
        self._feed.close()

    def _later(self, work: Callable[[], None], making_ms: float = 0) -> None:
        """Do it after the delay, one thing after another."""
        loop = asyncio.get_running_loop()
        begin = max(loop.time() + self._provider.delay_ms / 1000, self._busy_until)
        self._timers.add(loop.call_at(begin, work))
        self._busy_until = begin + making_ms / 1000

    def _speaks(self, context_id: ContextId, word: SpokenWord) -> Callable[[], None]:
        return lambda: self._speak(context_id, word)

    def _speak(self, context_id: ContextId, word: SpokenWord) -> None:
        if context_id in self._cancelled:
            return
        start = self._positions.get(context_id, 0)
        end = start
        for frame in word.frames:
            self._feed.put(SpeechAudio(context_id=context_id, pcm=frame))
            end += len(frame) // 2
        self._positions[context_id] = end
        if self._provider.capabilities.has_word_times:
            timed = TimedWord(text=word.text, start=start, end=end)
            self._feed.put(SpeechWords(context_id=context_id, words=(timed,)))

    def _finish(self, context_id: ContextId) -> None:
        if context_id not in self._cancelled:
            self._feed.put(SpeechDone(context_id=context_id))
