"""External reasoning by `Say`: the service listens without answering, and speaks our words.

How it works. When the person's words are final, the agent thinks. Its first sentence is said at
once; what it adds while the service speaks goes along as one piece when that is done. The pieces
are responses to the service, and one response to the session: sound, words and positions are put
together, and an interruption is taken apart again. Of a response that fails, the agent remembers
the words that were spoken.
"""

import asyncio
from dataclasses import dataclass, field

from msgspec.structs import replace

from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    CreateResponse,
    Disregard,
    EndUserTurn,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    Message,
    NoResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sCommand,
    S2sEvent,
    Say,
    SendText,
    StartUserTurn,
    TextStage,
    ToolCalled,
    UtteranceId,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.conversation import Thought
from beluga_voice.providers.s2s.reasoned.base import ReasonedLink
from beluga_voice.providers.s2s.reasoned.mind import AgentFailed, Mind
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.transports.feed import Feed

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""


@dataclass(slots=True)
class _Piece:
    """One thing the service was asked to say."""

    id: ResponseId
    start: int
    """Where it begins in the response, in samples."""
    asked: str
    samples: int = 0
    planned: str = ""
    spoken: str = ""
    is_done: bool = False
    is_whole: bool = False
    """Whether all of it was said."""

    @property
    def words(self) -> str:
        """What was said of it, as far as that is known."""
        return self.spoken or ((self.planned or self.asked) if self.is_whole else "")


@dataclass(slots=True, eq=False)
class _Response:
    """One response to the session."""

    id: ResponseId
    thought: Thought
    asked: list[str] = field(default_factory=list[str])
    """What the service was asked to say."""
    unsaid: list[str] = field(default_factory=list[str])
    pieces: list[_Piece] = field(default_factory=list[_Piece])
    is_thought: bool = False
    """Whether the agent has nothing to add."""
    is_over: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def samples(self) -> int:
        return sum(piece.samples for piece in self.pieces)

    @property
    def words(self) -> str:
        """What was said of it."""
        return " ".join(filter(None, (piece.words.strip() for piece in self.pieces)))


class SayingLink(ReasonedLink):
    """See above."""

    def __init__(
        self,
        inner: S2sLink,
        mind: Mind,
        feed: Feed[S2sEvent],
        tasks: asyncio.TaskGroup,
        *,
        number: int,
        respond_automatically: bool,
    ) -> None:
        super().__init__(inner, mind, feed, tasks)
        self._number = number
        self._respond_automatically = respond_automatically
        self._count = 0
        self._wanted: dict[UtteranceId, bool] = {}
        """Utterances without final words, and whether they want an answer."""
        self._wants_next = True
        self._responses: dict[ResponseId, _Response] = {}
        """Those that are over are kept for a while: they may still be sounding."""
        self._queue: list[_Response] = []
        """Responses with something to say, oldest first."""
        self._asked: _Response | None = None
        """The response whose piece was asked for, until that piece is done."""
        self._is_asked_in_vain = False
        """A piece was asked for that nobody wants any more, and that has not begun."""
        self._owner: dict[ResponseId, _Response] = {}
        """By the service's ids: whose piece that is."""

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def _command(self, command: S2sCommand) -> None:
        match command:
            case EndUserTurn():
                self._wants_next = command.respond
                self._inner.send(replace(command, respond=False))
            case StartUserTurn():
                self._wanted = dict.fromkeys(self._wanted, False)
                self._is_asked_in_vain = False  # the service forgets it too
                self._unask()
                self._inner.send(command)
            case CreateResponse():
                self._is_asked_in_vain = False
                text = self._mind.unanswered
                if command.instructions:
                    text = f"{text}\n{command.instructions}" if text else command.instructions
                self._respond(ResponseOrigin.REQUESTED, text)
            case SendText():
                self._mind.note(Message(role=command.role, text=command.text))
                if command.respond:
                    self._respond(ResponseOrigin.REQUESTED, self._mind.unanswered)
            case Say():
                thought = Thought()
                self._mind.tell(thought, command.text)
                self._begin(ResponseOrigin.SAID, thought, command.text)
            case Interrupt():
                self._interrupt(command)
            case AnswerTool():
                self._mind.answer(command)
            case Disregard():
                self._mind.disregard(command.utterance_id)
                self._ask()  # what was not begun when that was said
            case AnswerDelegation():
                pass
            case _:
                self._inner.send(command)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def _event(self, event: S2sEvent) -> None:
        match event:
            case InputCommitted():
                self._wanted[event.utterance_id] = self._wants_next
                self._wants_next = True
                self._feed.put(event)
            case InputTranscript():
                self._heard_person(event)
            case NoResponse() | ToolCalled():
                pass  # whether there is an answer is for us to say
            case ResponseStarted():
                self._piece_started(event)
            case ResponseAudio():
                self._piece_sounds(event)
            case ResponseText():
                self._piece_text(event)
            case ResponseDone():
                self._piece_done(event)
            case Interrupted():
                self._interrupted(event)
            case _:
                self._feed.put(event)

    def _heard_person(self, event: InputTranscript) -> None:
        """Words of the person: the agent knows of them before anybody may ask it to answer."""
        text = event.text.strip()
        if event.is_final and text:
            self._mind.hear(event.utterance_id, text)
        self._feed.put(event)
        if event.is_final:
            self._understood(event.utterance_id, text)

    def _understood(self, utterance_id: UtteranceId, text: str) -> None:
        """The person's words are final."""
        is_wanted = self._wanted.pop(utterance_id, True) and self._respond_automatically
        if not is_wanted:
            self._feed.put(NoResponse(reason="none was wanted"))
        elif not text:
            self._feed.put(NoResponse(reason="nothing was understood"))
        else:
            self._respond(ResponseOrigin.TURN, self._mind.unanswered)

    # ── answering ───────────────────────────────────────────────────────────────────────────

    def _respond(self, origin: ResponseOrigin, text: str) -> None:
        """Let the agent answer."""
        made = self._begin(origin, Thought(), None)
        if made is not None:
            name = f"beluga-voice {made.id}"
            made.task = self._tasks.create_task(self._think(made, text), name=name)

    def _begin(
        self, origin: ResponseOrigin, thought: Thought, text: str | None
    ) -> _Response | None:
        self._count += 1
        made = _Response(ResponseId(f"reasoned-{self._number}-{self._count}"), thought)
        self._responses[made.id] = made
        while len(self._responses) > REMEMBERED:
            del self._responses[next(iter(self._responses))]
        self._mind.begin(thought)
        self._feed.put(ResponseStarted(response_id=made.id, origin=origin))
        if made.is_over:
            return None  # refused while it was announced
        if text is not None:
            made.is_thought = True
            self._want(made, text)
        return made

    async def _think(self, made: _Response, text: str) -> None:
        sentences = Sentences()

        def say_so_far() -> None:
            for sentence in sentences.flush():
                self._want(made, sentence)

        made.thought.on_call = say_so_far
        try:
            async for piece in self._mind.think(made.thought, text):
                if made.is_over:
                    return  # cancelled, and the agent did not mind
                for sentence in sentences.feed(piece):
                    self._want(made, sentence)
            say_so_far()
        except AgentFailed as error:
            self._finish(made, ResponseStatus.FAILED, str(error))
            return
        made.is_thought = True
        self._advance(made)

    def _want(self, made: _Response, text: str) -> None:
        """More words to say."""
        if made.is_over:
            return
        if made not in self._queue:
            self._queue.append(made)
        made.unsaid.append(text)
        self._ask()

    def _ask(self) -> None:
        """Have the next words said, if the service is not speaking."""
        if self._asked is not None or self._is_asked_in_vain or not self._queue:
            return
        made = self._queue.pop(0)
        text = " ".join(made.unsaid)
        made.unsaid.clear()
        made.asked.append(text)
        self._asked = made
        self._inner.send(Say(text=text))

    def _unask(self) -> None:
        """The service forgets what it was asked to say and has not begun."""
        made = self._asked
        if made is not None and len(made.asked) > len(made.pieces):
            made.unsaid.insert(0, made.asked.pop())
            self._asked = None
            if made in self._queue:
                self._queue.remove(made)
            self._queue.insert(0, made)

    def _advance(self, made: _Response) -> None:
        """Is it whole?"""
        is_said = all(piece.is_done for piece in made.pieces) and self._asked is not made
        if made.is_thought and is_said and not made.unsaid:
            self._finish(made, ResponseStatus.COMPLETED)

    def _finish(self, made: _Response, status: ResponseStatus, reason: str = "") -> None:
        if made.is_over:
            return
        made.is_over = True
        if made in self._queue:
            self._queue.remove(made)
        if status is not ResponseStatus.COMPLETED:
            self._mind.settle(made.thought, made.words)
        asked = " ".join(made.asked) or None
        self._feed.put(
            ResponseDone(response_id=made.id, status=status, reason=reason, asked_text=asked)
        )

    # ── what the service says ───────────────────────────────────────────────────────────────

    def _piece_started(self, event: ResponseStarted) -> None:
        made = self._asked
        if made is None or made.is_over or event.origin is not ResponseOrigin.SAID:
            # Nobody asked for it, or nobody wants it any more.
            self._inner.send(
                Interrupt(response_id=event.response_id, heard_samples=0, heard_text="")
            )
            if self._is_asked_in_vain and event.origin is ResponseOrigin.SAID:
                self._is_asked_in_vain = False
                self._ask()
            return
        made.pieces.append(_Piece(event.response_id, made.samples, made.asked[-1]))
        self._owner[event.response_id] = made

    def _piece_sounds(self, event: ResponseAudio) -> None:
        made = self._owner.get(event.response_id)
        if made is not None and not made.is_over:
            _piece_of(made, event.response_id).samples += len(event.pcm) // 2
            self._feed.put(replace(event, response_id=made.id))

    def _piece_text(self, event: ResponseText) -> None:
        made = self._owner.get(event.response_id)
        if made is None or made.is_over:
            return
        piece = _piece_of(made, event.response_id)
        at, delta = piece.start, event.delta
        has_words = bool(piece.planned or piece.spoken)
        if piece is not made.pieces[0] and not has_words and not delta[:1].isspace():
            delta = f" {delta}"
        if event.stage is TextStage.PLANNED:
            piece.planned += delta
        else:
            piece.spoken += delta
        self._feed.put(
            replace(
                event,
                response_id=made.id,
                delta=delta,
                start=None if event.start is None else event.start + at,
                end=None if event.end is None else event.end + at,
            )
        )

    def _piece_done(self, event: ResponseDone) -> None:
        made = self._owner.pop(event.response_id, None)
        if made is None:
            return
        piece = _piece_of(made, event.response_id)
        piece.is_done, piece.is_whole = True, event.status is ResponseStatus.COMPLETED
        if self._asked is made:
            self._asked = None
        if event.status in (ResponseStatus.FAILED, ResponseStatus.CANCELLED):
            self._give_up(made)
            self._finish(made, event.status, event.reason)
        else:
            self._advance(made)
        self._ask()

    # ── interrupting ────────────────────────────────────────────────────────────────────────

    def _interrupted(self, event: Interrupted) -> None:
        """The service stopped speaking by itself."""
        made = self._owner.get(event.response_id) if event.response_id is not None else self._asked
        if made is None:
            return
        self._give_up(made)
        self._feed.put(Interrupted(response_id=made.id))

    def _interrupt(self, command: Interrupt) -> None:
        made = self._responses.pop(command.response_id, None)
        if made is None:
            self._inner.send(command)
            return
        self._give_up(made)
        for piece in made.pieces:
            heard = min(max(command.heard_samples - piece.start, 0), piece.samples)
            if not piece.is_done or heard < piece.samples:
                text = command.heard_text if piece.start == 0 else ""
                self._inner.send(
                    Interrupt(response_id=piece.id, heard_samples=heard, heard_text=text)
                )
        self._finish(made, ResponseStatus.CANCELLED)
        self._mind.settle(made.thought, command.heard_text)
        self._ask()

    def _give_up(self, made: _Response) -> None:
        """Nothing more of it is wanted."""
        if made.task is not None:
            made.task.cancel()
        self._mind.drop(made.thought)
        made.unsaid.clear()
        if made in self._queue:
            self._queue.remove(made)
        if self._asked is made:
            self._asked = None
            self._is_asked_in_vain = all(piece.is_done for piece in made.pieces)

    def _stop(self, reason: str) -> None:
        for made in list(self._responses.values()):
            if made.task is not None:
                made.task.cancel()
            self._mind.drop(made.thought)
            self._finish(made, ResponseStatus.FAILED, reason)


def _piece_of(made: _Response, response_id: ResponseId) -> _Piece:
    return next(piece for piece in made.pieces if piece.id == response_id)
