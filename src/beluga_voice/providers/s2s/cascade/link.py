"""A conversation with the cascade: sound in, words to the agent, words to the voice, sound out."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from beluga_voice.errors import BelugaError, ToolFailed, where
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    CancelSpeech,
    ClearInput,
    ContextId,
    CreateResponse,
    DropUtterance,
    EndOfTurnLikely,
    EndUserTurn,
    ErrorCategory,
    FinishSpeech,
    FinishUtterance,
    HistoryItem,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Message,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechStarted,
    SpeechStopped,
    SpeechWords,
    StartUserTurn,
    SttEvent,
    TextStage,
    ToolCalled,
    ToolCallId,
    ToolResult,
    ToolSpec,
    ToolUse,
    Transcript,
    TtsEvent,
    TurnContinued,
    Update,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Agent,
    S2sOptions,
    SttLink,
    TtsLink,
)
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.transports.feed import Feed

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""

HISTORY_LIMIT = 400
"""What an agent is told of at most; older things are forgotten."""

STOP_SECONDS = 0.5
"""How long an agent may take to stop when it is cancelled; then it is cancelled once more."""

log = logging.getLogger(__name__)


class _Said:
    """A place in the history; a response's grows while it is made."""

    __slots__ = ("_item", "_pieces")

    def __init__(self, item: HistoryItem | None = None) -> None:
        self._item = item
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        """More words of the response."""
        self._pieces.append(piece)

    def settle(self, item: HistoryItem) -> None:
        """This is what it was."""
        self._item = item

    @property
    def item(self) -> HistoryItem:
        """What it is so far."""
        return self._item or Message(role=Role.AGENT, text="".join(self._pieces))


@dataclass(slots=True)
class _Response:
    """One response in the making. Its id is also its context with the voice."""

    id: ResponseId
    context: ContextId
    is_told: bool = False
    """Whether the voice was given all the text."""
    said: "_Said | None" = None
    """Its place in the history, once it has text."""
    task: asyncio.Task[None] | None = None
    calls: dict[ToolCallId, asyncio.Future[str]] = field(
        default_factory=dict[ToolCallId, asyncio.Future[str]]
    )


class _Turn:
    """What the agent is given."""

    def __init__(self, link: "CascadeLink", response: _Response, text: str) -> None:
        self._link = link
        self._response = response
        self.text = text

    @property
    def history(self) -> Sequence[HistoryItem]:
        return self._link.history

    @property
    def instructions(self) -> str:
        return self._link.instructions

    @property
    def tools(self) -> Sequence[ToolSpec]:
        return self._link.tools

    async def call_tool(self, name: str, arguments: str, /) -> str:
        return await self._link.call_tool(self._response, name, arguments)


def _answers(item: HistoryItem, use: ToolUse) -> bool:
    """Whether it is the result of that call."""
    return isinstance(item, ToolResult) and item.call_id == use.call_id


class CascadeLink:
    """A conversation with the cascade. Its outboxes are those of the two services' links."""

    def __init__(
        self,
        *,
        number: int,
        stt: SttLink,
        agent: Agent,
        tts: TtsLink,
        options: S2sOptions,
        has_word_times: bool,
    ) -> None:
        self._number = number
        """Which link of its provider: what it names is unique over all of them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._stt = stt
        self._agent = agent
        self._tts = tts
        self._stage = TextStage.PLANNED if has_word_times else TextStage.SPOKEN
        self._feed: Feed[S2sEvent] = Feed()
        self._loop = asyncio.get_running_loop()
        self._history = [_Said(item) for item in options.history]
        self._trim()
        self.instructions = options.instructions
        self.tools = options.tools
        self._respond_automatically = options.respond_automatically
        self._utterances = 0
        self._responses = 0
        self._calls = 0
        self._committed: dict[UtteranceId, bool] = {}
        """Utterances whose final transcript is awaited, and whether they want a response."""
        self._making: dict[ResponseId | ContextId, _Response] = {}
        self._spoken: dict[ResponseId, _Said] = {}
        """Where in the history the last responses are, for an interruption after their end."""

    @property
    def history(self) -> list[HistoryItem]:
        """What was said, as heard so far."""
        return [said.item for said in self._history]

    def _note(self, item: HistoryItem) -> None:
        self._history.append(_Said(item))
        self._trim()

    def _trim(self) -> None:
        """Forget the oldest, and with a call its result."""
        history = self._history
        while len(history) > HISTORY_LIMIT:
            forgotten = history.pop(0).item
            if isinstance(forgotten, ToolUse):
                history[:] = [said for said in history if not _answers(said.item, forgotten)]

    # ── the link ────────────────────────────────────────────────────────────────────────────

    def attach(self, deliver: Callable[[S2sEvent], None], /) -> None:
        """Deliver events by call."""
        self._feed.attach(deliver)

    def __aiter__(self) -> AsyncIterator[S2sEvent]:
        return aiter(self._feed)

    def send(self, command: S2sCommand, /) -> None:
        """Do what the session wants."""
        if self._feed.is_closed:
            return
        match command:
            case SendAudio():
                self._stt.send(command)
            case StartUserTurn():
                self._unwant()
            case EndUserTurn():
                utterance_id = self._utterance()
                self._utterances += 1
                self._committed[utterance_id] = command.respond and self._respond_automatically
                self._feed.put(InputCommitted(utterance_id=utterance_id))
                self._stt.send(FinishUtterance(utterance_id=utterance_id))
            case ClearInput():
                self._stt.send(DropUtterance())
            case SendText():
                self._note(Message(role=command.role, text=command.text))
                if command.respond:
                    self._respond(ResponseOrigin.REQUESTED)
            case CreateResponse():
                self._respond(ResponseOrigin.REQUESTED, command.instructions)
            case Say():
                self._begin(ResponseOrigin.SAID, None, command.text)
            case Interrupt():
                self._interrupt(command)
            case AnswerTool():
                self._answer_tool(command)
            case Update():
                if command.instructions is not None:
                    self.instructions = command.instructions
                if command.tools is not None:
                    self.tools = command.tools
            case SeedHistory():
                self._history.extend(_Said(item) for item in command.items)
                self._trim()
            case AnswerDelegation():
                pass
            case _:
                assert_never(command)

    def close(self) -> None:
        """Stop what is being made."""
        self._lose(is_clean=True, reason="")

    async def stopped(self) -> None:
        """Wait for the agent's work to stop, within a bound; what does not stop is left behind."""
        stubborn = self._tasks
        for _ in range(2):
            if stubborn:
                _, stubborn = await asyncio.wait(stubborn, timeout=STOP_SECONDS)
            for task in stubborn:
                task.cancel()
        if stubborn:
            log.error("an agent goes on working: it swallows its cancellation")

    # ── hearing ─────────────────────────────────────────────────────────────────────────────

    def hear_stt(self, event: SttEvent) -> None:
        """An event of the speech-to-text service."""
        match event:
            case Transcript():
                self._transcript(event)
            case ServiceFailed() | UsageReported():
                self._feed.put(event)
            case LinkClosed():
                self._lose(is_clean=False, reason=event.reason or "speech-to-text ended")
            case LinkReady() | SpeechStarted() | SpeechStopped():
                pass
            case EndOfTurnLikely() | TurnContinued():
                pass
            case _:
                assert_never(event)

    def _transcript(self, event: Transcript) -> None:
        utterance_id = event.utterance_id
        if not event.is_final or utterance_id is None:
            if event.text:
                self._feed.put(
                    InputTranscript(
                        utterance_id=self._utterance(),
                        text=event.text,
                        is_final=False,
                        words=event.words,
                    )
                )
            return
        respond = self._committed.pop(utterance_id, None)
        if respond is None:
            return
        text = event.text.strip()
        if text:
            self._note(Message(role=Role.USER, text=text))
        self._feed.put(
            InputTranscript(utterance_id=utterance_id, text=text, is_final=True, words=event.words)
        )
        if respond:
            self._respond(ResponseOrigin.TURN)
        else:
            self._feed.put(NoResponse(reason="none was wanted"))

    def _utterance(self) -> UtteranceId:
        return UtteranceId(f"utterance-{self._number}-{self._utterances + 1}")

    # ── answering ───────────────────────────────────────────────────────────────────────────

    def _respond(self, origin: ResponseOrigin, instructions: str | None = None) -> None:
        """Let the agent answer what the person said since the agent had the floor."""
        text = self._unanswered()
        if not text and origin is ResponseOrigin.TURN:
            self._feed.put(NoResponse(reason="nothing was understood"))
            return
        self._begin(origin, instructions, text)

    def _unanswered(self) -> str:
        words: list[str] = []
        for said in reversed(self._history):
            item = said.item
            if not isinstance(item, Message):
                continue  # a tool that ran for what was said
            if item.role is Role.AGENT:
                break
            if item.role is Role.USER:
                words.append(item.text)
        return " ".join(reversed(words))

    def _begin(self, origin: ResponseOrigin, instructions: str | None, text: str) -> None:
        self._responses += 1
        name = f"response-{self._number}-{self._responses}"
        making = _Response(ResponseId(name), ContextId(name))
        self._making[making.id] = making
        self._feed.put(ResponseStarted(response_id=making.id, origin=origin))
        if making.id not in self._making:
            return  # refused while it was announced
        if origin is ResponseOrigin.SAID:
            self._told(making, text)
            for sentence in [*(cutter := Sentences()).feed(text), *cutter.flush()]:
                self._tts.send(SpeakText(context_id=making.context, text=sentence))
            self._finish_text(making)
        else:
            turn = _Turn(self, making, text)
            if instructions:
                turn.text = f"{text}\n{instructions}" if text else instructions
            making.task = self._loop.create_task(
                self._make(making, turn), name=f"beluga-voice {name}"
            )
            self._tasks.add(making.task)
            making.task.add_done_callback(self._made)

    async def _make(self, making: _Response, turn: _Turn) -> None:
        """Speak the agent's answer, sentence by sentence."""
        sentences = Sentences()
        try:
            pieces = self._agent.respond(turn)
            try:
                async for piece in pieces:
                    if making.id not in self._making:
                        return  # cancelled, and the agent did not mind
                    if not piece:
                        continue
                    self._told(making, piece)
                    for sentence in sentences.feed(piece):
                        self._tts.send(SpeakText(context_id=making.context, text=sentence))
            finally:
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
            for sentence in sentences.flush():
                self._tts.send(SpeakText(context_id=making.context, text=sentence))
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            self._fail(making, "the agent was cancelled from inside")
        except BelugaError as error:
            self._fail(making, str(error))
        except Exception as error:
            log.error("the agent failed: %s", where(error))
            self._fail(making, f"the agent failed: {type(error).__name__}")
        else:
            self._finish_text(making)

    def _made(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the cascade failed: %s", where(error))
            self._lose(is_clean=False, reason=f"the cascade failed: {type(error).__name__}")

    def _told(self, making: _Response, piece: str) -> None:
        """More words of a response: to the session, and into the history."""
        if making.said is None:
            making.said = _Said()
            self._history.append(making.said)
            self._trim()
            self._spoken[making.id] = making.said
            while len(self._spoken) > REMEMBERED:
                del self._spoken[next(iter(self._spoken))]
        making.said.add(piece)
        self._feed.put(ResponseText(response_id=making.id, delta=piece, stage=self._stage))

    def _finish_text(self, making: _Response) -> None:
        making.is_told = True
        if making.said is None:
            self._done(making, ResponseStatus.COMPLETED)
        else:
            self._tts.send(FinishSpeech(context_id=making.context))

    def _fail(self, making: _Response, reason: str) -> None:
        self._tts.send(CancelSpeech(context_id=making.context))
        self._done(making, ResponseStatus.FAILED, reason)

    def _done(self, making: _Response, status: ResponseStatus, reason: str = "") -> None:
        if self._making.pop(making.id, None) is not None:
            self._feed.put(ResponseDone(response_id=making.id, status=status, reason=reason))

    # ── speaking ────────────────────────────────────────────────────────────────────────────

    def hear_tts(self, event: TtsEvent) -> None:
        """An event of the text-to-speech service."""
        match event:
            case SpeechAudio():
                making = self._making.get(event.context_id)
                if making is not None:
                    self._feed.put(ResponseAudio(response_id=making.id, pcm=event.pcm))
            case SpeechWords():
                self._words(event)
            case SpeechDone():
                making = self._making.get(event.context_id)
                if making is not None:
                    self._done(making, ResponseStatus.COMPLETED)
            case ServiceFailed() | UsageReported():
                self._feed.put(event)
            case LinkClosed():
                self._lose(is_clean=False, reason=event.reason or "text-to-speech ended")
            case LinkReady():
                pass
            case _:
                assert_never(event)

    def _words(self, event: SpeechWords) -> None:
        response_id = ResponseId(event.context_id)
        if response_id not in self._making:
            return
        for word in event.words:
            self._feed.put(
                ResponseText(
                    response_id=response_id, delta=word.text, start=word.start, end=word.end
                )
            )

    # ── interrupting ────────────────────────────────────────────────────────────────────────

    def _unwant(self) -> None:
        """The person goes on: what was not begun yet is not to be begun."""
        for utterance_id in self._committed:
            self._committed[utterance_id] = False

    def _interrupt(self, command: Interrupt) -> None:
        making = self._making.pop(command.response_id, None)
        if making is not None:
            if making.task is not None:
                making.task.cancel()
            for waiting in making.calls.values():
                waiting.cancel()
            self._tts.send(CancelSpeech(context_id=making.context))
            self._feed.put(
                ResponseDone(response_id=command.response_id, status=ResponseStatus.CANCELLED)
            )
        said = self._spoken.pop(command.response_id, None)
        if said is not None and command.heard_text:
            said.settle(Message(role=Role.AGENT, text=command.heard_text, is_cut=True))
        elif said is not None and said in self._history:  # it may be forgotten already
            self._history.remove(said)

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    async def call_tool(self, making: _Response, name: str, arguments: str) -> str:
        """Let the session run a tool for the agent."""
        self._calls += 1
        call_id = ToolCallId(f"call-{self._number}-{self._calls}")
        waiting: asyncio.Future[str] = self._loop.create_future()
        making.calls[call_id] = waiting
        self._note(ToolUse(call_id=call_id, name=name, arguments=arguments))
        self._feed.put(
            ToolCalled(call_id=call_id, name=name, arguments=arguments, response_id=making.id)
        )
        try:
            return await waiting
        finally:
            making.calls.pop(call_id, None)

    def _answer_tool(self, command: AnswerTool) -> None:
        result = ToolResult(
            call_id=command.call_id, output=command.output, is_error=command.is_error
        )
        for index, said in enumerate(self._history):
            if isinstance(said.item, ToolUse) and said.item.call_id == command.call_id:
                self._history.insert(index + 1, _Said(result))  # next to its call
                self._trim()
                break
        for making in self._making.values():
            waiting = making.calls.get(command.call_id)
            if waiting is not None and not waiting.done():
                if command.is_error:
                    waiting.set_exception(ToolFailed(command.output, op="tools"))
                else:
                    waiting.set_result(command.output)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _lose(self, *, is_clean: bool, reason: str) -> None:
        """Close the feed, after what is still owed."""
        if self._feed.is_closed:
            return
        for making in list(self._making.values()):
            if making.task is not None:
                making.task.cancel()
            self._done(making, ResponseStatus.FAILED, reason or "the conversation ended")
        if not is_clean:
            self._feed.put(
                ServiceFailed(category=ErrorCategory.RETRYABLE, message=reason, is_fatal=True)
            )
        self._feed.put(LinkClosed(is_clean=is_clean, reason=reason))
        self._feed.close()
