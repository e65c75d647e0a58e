"""A conversation with the cascade: sound in, words to the agent, words to the voice, sound out."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import assert_never

from beluga_voice.errors import BelugaError, where
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    CancelSpeech,
    ClearInput,
    CondenseHistory,
    ContextId,
    CreateResponse,
    Disregard,
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
    PrepareResponse,
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
from beluga_voice.providers.s2s.cascade.making import Making, words_of
from beluga_voice.providers.s2s.conversation import Conversation, Thought, Turn
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.sendable import sendable
from beluga_voice.transports.feed import Feed

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""

STOP_SECONDS = 0.5
"""How long an agent may take to stop when it is cancelled; then it is cancelled once more."""

log = logging.getLogger(__name__)


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
        self._conversation = Conversation(
            calls=f"call-{number}",
            instructions=options.instructions,
            tools=options.tools,
            history=options.history,
            give=self._feed.put,
        )
        self._respond_automatically = options.respond_automatically
        self._utterances = 0
        self._responses = 0
        self._committed: dict[UtteranceId, bool] = {}
        """Utterances whose final transcript is awaited, and whether they want a response."""
        self._making: dict[ResponseId | ContextId, Making] = {}
        self._is_hearing = False
        """Whether sound has come since the last turn ended."""
        self._interim = ""
        """What is understood of the present utterance."""
        self._prepared: Making | None = None
        self._spoken: dict[ResponseId, Thought] = {}
        """What was said in the last responses, for an interruption after their end."""

    @property
    def history(self) -> list[HistoryItem]:
        """What was said, as heard so far."""
        return self._conversation.history

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
                self._is_hearing = True
                self._stt.send(command)
            case StartUserTurn():
                self._unwant()
            case EndUserTurn():
                utterance_id = self._utterance()
                self._utterances += 1
                self._is_hearing = False
                self._committed[utterance_id] = command.respond and self._respond_automatically
                self._feed.put(InputCommitted(utterance_id=utterance_id))
                self._stt.send(FinishUtterance(utterance_id=utterance_id))
            case ClearInput():
                self._interim = ""
                self._prepare(is_wanted=False)
                self._stt.send(DropUtterance())
            case SendText():
                self._conversation.note(Message(role=command.role, text=command.text))
                if command.respond:
                    self._respond(ResponseOrigin.REQUESTED)
            case CreateResponse():
                self._respond(ResponseOrigin.REQUESTED, command.instructions)
            case Say():
                self._begin(ResponseOrigin.SAID, None, command.text)
            case Interrupt():
                self._interrupt(command)
            case AnswerTool():
                self._conversation.answer(command)
            case Update():
                if command.instructions is not None:
                    self._conversation.instructions = command.instructions
                if command.tools is not None:
                    self._conversation.tools = command.tools
            case SeedHistory():
                self._conversation.seed(*command.items)
            case PrepareResponse():
                self._prepare(is_wanted=command.is_wanted)
            case CondenseHistory():
                self._conversation.condense(command.summary, command.keep)
            case Disregard():
                self._conversation.disregard(command.utterance_id)
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
                self._feed.put(event)
            case _:
                assert_never(event)

    def _transcript(self, event: Transcript) -> None:
        utterance_id = event.utterance_id
        if not event.is_final or utterance_id is None:
            if event.text:
                self._interim = event.text
                self._feed.put(
                    InputTranscript(
                        utterance_id=self._utterance_of_interims(),
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
        self._interim = ""
        if text:
            self._conversation.hear(utterance_id, text)
        self._feed.put(
            InputTranscript(utterance_id=utterance_id, text=text, is_final=True, words=event.words)
        )
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            if respond and words_of(self._conversation.unanswered) == prepared.answers:
                self._adopt(prepared)
                return
            self._discard(prepared)
        if respond:
            self._respond(ResponseOrigin.TURN)
        elif not self._committed:  # or what was said since is what is answered
            self._feed.put(NoResponse(reason="none was wanted"))

    def _utterance_of_interims(self) -> UtteranceId:
        """The one that is heard; or, after its end, the one that is still being understood."""
        if self._is_hearing or not self._committed:
            return self._utterance()
        return next(reversed(self._committed))

    def _utterance(self) -> UtteranceId:
        return UtteranceId(f"utterance-{self._number}-{self._utterances + 1}")

    # ── answering ───────────────────────────────────────────────────────────────────────────

    def _respond(self, origin: ResponseOrigin, instructions: str | None = None) -> None:
        """Let the agent answer what the person said since the agent had the floor."""
        text = self._conversation.unanswered
        if not text and origin is ResponseOrigin.TURN:
            self._feed.put(NoResponse(reason="nothing was understood"))
            return
        self._begin(origin, instructions, text)

    # ── answering before the turn is over ───────────────────────────────────────────────────

    def _prepare(self, *, is_wanted: bool) -> None:
        """Make a response to what is understood so far, and tell nobody; or forget it."""
        likely = Message(role=Role.USER, text=self._interim.strip())
        text = " ".join(filter(None, (self._conversation.unanswered, likely.text)))
        wanted = words_of(text) if is_wanted and self._respond_automatically else []
        if self._prepared is not None:
            if self._prepared.answers == wanted:
                return
            self._discard(self._prepared)
            self._prepared = None
        if wanted:
            self._prepared = making = self._new()
            making.answers = wanted
            making.thought.prepared_for = likely
            self._start(making, text)

    def _adopt(self, making: Making) -> None:
        """What was prepared is what is wanted."""
        if any(isinstance(one, ResponseDone) and one.reason for one in making.kept):
            self._discard(making)  # it failed: once more, for everybody to see
            self._respond(ResponseOrigin.TURN)
            return
        self._announce(making, ResponseOrigin.TURN)
        self._conversation.adopt(making.thought)
        for event in making.kept:
            # It may be refused while it is told of; then its end is all that is owed.
            if making.thought.heard is None or isinstance(event, ResponseDone):
                self._feed.put(event)
        making.kept.clear()

    def _discard(self, making: Making) -> None:
        """What was prepared is not wanted: nobody learns of it."""
        making.kept.clear()
        if self._making.pop(making.id, None) is not None:
            self._tts.send(CancelSpeech(context_id=making.context))
        self._stop(making)

    def _stop(self, making: Making) -> None:
        """Let the agent stop, with the tools that it waits for."""
        if making.task is not None:
            making.task.cancel()
        self._conversation.drop(making.thought)

    def _tell(self, making: Making, event: S2sEvent) -> None:
        """Tell the session of a response, if it may know of it."""
        if making.thought.prepared_for is None:
            self._feed.put(event)
        else:
            making.kept.append(event)

    # ── making a response ───────────────────────────────────────────────────────────────────

    def _new(self) -> Making:
        self._responses += 1
        name = f"response-{self._number}-{self._responses}"
        response_id = ResponseId(name)
        making = Making(response_id, ContextId(name), Thought(response_id=response_id))
        self._making[making.id] = making
        return making

    def _announce(self, making: Making, origin: ResponseOrigin) -> None:
        """Tell the session that a response begins."""
        self._spoken[making.id] = making.thought
        while len(self._spoken) > REMEMBERED:
            del self._spoken[next(iter(self._spoken))]
        self._conversation.begin(making.thought)
        self._feed.put(ResponseStarted(response_id=making.id, origin=origin))

    def _start(self, making: Making, text: str) -> None:
        turn = Turn(self._conversation, making.thought, text)
        making.task = self._loop.create_task(
            self._make(making, turn), name=f"beluga-voice {making.id}"
        )
        self._tasks.add(making.task)
        making.task.add_done_callback(self._made)

    def _begin(self, origin: ResponseOrigin, instructions: str | None, text: str) -> None:
        making = self._new()
        self._announce(making, origin)
        if making.id not in self._making:
            return  # refused while it was announced
        if origin is ResponseOrigin.SAID:
            self._told(making, text)
            self._speak(making, [*(cutter := Sentences()).feed(text), *cutter.flush()])
            self._finish_text(making)
        else:
            self._start(making, "\n".join(filter(None, (text, instructions))))

    async def _make(self, making: Making, turn: Turn) -> None:
        """Speak the agent's answer; whatever comes of that is told."""
        try:
            await self._answer(making, turn)
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

    async def _answer(self, making: Making, turn: Turn) -> None:
        """Speak sentence by sentence, and at once what there is when a tool is called."""
        sentences = Sentences()
        making.thought.on_call = lambda: self._speak_before_call(making, sentences)
        try:
            pieces = self._agent.respond(turn)
            try:
                async for piece in pieces:
                    if making.id not in self._making:
                        return  # cancelled, and the agent did not mind
                    if not piece:
                        continue
                    spaced = _spaced(making, sendable(piece))
                    self._told(making, spaced)
                    self._speak(making, sentences.feed(spaced))
            finally:
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
            self._speak(making, sentences.flush())
        finally:
            self._conversation.drop(making.thought)  # no tool that it called runs on

    def _speak_before_call(self, making: Making, sentences: Sentences) -> None:
        """Say all that there is; what follows the tool is not a part of its last word."""
        making.is_parted = bool(making.thought.pieces)
        self._speak(making, sentences.flush())

    def _speak(self, making: Making, sentences: list[str]) -> None:
        if making.id in self._making:
            for sentence in sentences:
                self._tts.send(SpeakText(context_id=making.context, text=sentence))

    def _made(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the cascade failed: %s", where(error))
            self._lose(is_clean=False, reason=f"the cascade failed: {type(error).__name__}")

    def _told(self, making: Making, piece: str) -> None:
        """More words of a response: to the session, and into the history."""
        self._conversation.tell(making.thought, piece)
        self._tell(making, ResponseText(response_id=making.id, delta=piece, stage=self._stage))

    def _finish_text(self, making: Making) -> None:
        if not making.thought.pieces:
            self._done(making, ResponseStatus.COMPLETED)
        elif making.id in self._making:
            self._tts.send(FinishSpeech(context_id=making.context))

    def _fail(self, making: Making, reason: str) -> None:
        self._tts.send(CancelSpeech(context_id=making.context))
        self._done(making, ResponseStatus.FAILED, reason)

    def _done(self, making: Making, status: ResponseStatus, reason: str = "") -> None:
        if self._making.pop(making.id, None) is not None:
            done = ResponseDone(response_id=making.id, status=status, reason=reason)
            self._tell(making, done)

    # ── speaking ────────────────────────────────────────────────────────────────────────────

    def hear_tts(self, event: TtsEvent) -> None:
        """An event of the text-to-speech service."""
        match event:
            case SpeechAudio():
                making = self._making.get(event.context_id)
                if making is not None:
                    self._tell(making, ResponseAudio(response_id=making.id, pcm=event.pcm))
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
        making = self._making.get(response_id)
        if making is None:
            return
        for word in event.words:
            text = ResponseText(
                response_id=response_id, delta=word.text, start=word.start, end=word.end
            )
            self._tell(making, text)

    # ── interrupting ────────────────────────────────────────────────────────────────────────

    def _unwant(self) -> None:
        """The person goes on: what was not begun yet is not to be begun."""
        for utterance_id in self._committed:
            self._committed[utterance_id] = False

    def _interrupt(self, command: Interrupt) -> None:
        making = self._making.pop(command.response_id, None)
        if making is not None:
            self._stop(making)
            self._tts.send(CancelSpeech(context_id=making.context))
            self._feed.put(
                ResponseDone(response_id=command.response_id, status=ResponseStatus.CANCELLED)
            )
        thought = self._spoken.pop(command.response_id, None)
        if thought is not None:
            self._conversation.settle(thought, command.heard_text)

    # ── the end ─────────────────────────────────────────────────────────────────────────────

    def _lose(self, *, is_clean: bool, reason: str) -> None:
        """Close the feed, after what is still owed."""
        if self._feed.is_closed:
            return
        if self._prepared is not None:
            self._discard(self._prepared)
            self._prepared = None
        for making in list(self._making.values()):
            self._stop(making)
            self._done(making, ResponseStatus.FAILED, reason or "the conversation ended")
        if not is_clean:
            self._feed.put(
                ServiceFailed(category=ErrorCategory.RETRYABLE, message=reason, is_fatal=True)
            )
        self._feed.put(LinkClosed(is_clean=is_clean, reason=reason))
        self._feed.close()


def _spaced(making: Making, piece: str) -> str:
    """What the agent says after a tool is no part of the last word before it."""
    was_parted, making.is_parted = making.is_parted, False
    if not was_parted or piece[0].isspace() or making.thought.pieces[-1][-1:].isspace():
        return piece
    return f" {piece}"
