"""What is shared where the service's own responses are the session's: who said what.

How it works. While the agent thinks, the session is told so, since it sees nothing of it otherwise.
One question is thought about at a time. When it is taken back, because the person goes on or says
stop, the service is told to say nothing to it, and what it says all the same is not passed on.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from beluga_voice.events import (
    AnswerTool,
    ClearInput,
    CreateResponse,
    DelegationId,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    S2sCommand,
    S2sEvent,
    SendText,
    SpeechStarted,
    StartUserTurn,
    TextStage,
    ToolCallId,
    UtteranceId,
    WorkEnded,
    WorkId,
    WorkStarted,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.conversation import Thought
from beluga_voice.providers.s2s.reasoned.base import ReasonedLink
from beluga_voice.providers.s2s.reasoned.mind import Mind
from beluga_voice.providers.s2s.reasoned.reactions import Reactions, is_alike
from beluga_voice.transports.feed import Feed

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""
GRACE_SECONDS = 1.3
"""How long the last words of the person are waited for before the agent begins."""


@dataclass(slots=True, eq=False)
class _Work:
    """What the agent thinks about, and in which task."""

    id: WorkId
    thought: Thought
    task: asyncio.Task[None] | None = None


class PassingLink[K: (ToolCallId, DelegationId)](ReasonedLink):
    """Passes on what the service says, and keeps the agent's memory of it.

    `K` is by what the service knows a question; `told` is what it is told of one that was taken
    back.
    """

    def __init__(
        self,
        inner: S2sLink,
        mind: Mind,
        feed: Feed[S2sEvent],
        tasks: asyncio.TaskGroup,
        *,
        told: str,
    ) -> None:
        super().__init__(inner, mind, feed, tasks)
        self._works: dict[K, _Work] = {}
        self._held: dict[ResponseId, ResponseStarted] = {}
        """Responses that have neither sounded nor spoken yet, and that nobody was told of."""
        self._reactions = Reactions(told)
        self._stopped: set[ResponseId] = set()
        """Responses that the service stopped by itself."""
        self._spoken: dict[ResponseId, Thought] = {}
        self._planned: set[ResponseId] = set()
        """Of which the words were told before they sounded; that they sound is no news."""
        self._asked: list[str] = []
        """What the service was told to say and has not said yet."""
        self._open: dict[UtteranceId, str] = {}
        """Words of the person that are not final."""
        self._words: list[str] = []
        """Words of the person that the agent was not asked about."""
        self._handed: set[UtteranceId] = set()
        """Utterances whose words the agent was asked about before they were final."""
        self._guessed: list[str] = []
        """Words that the service told instead, and that are written down already."""
        self._known = asyncio.Event()
        self._question = ""
        """What the agent thinks about, until it has begun to answer."""

    def _command(self, command: S2sCommand) -> None:
        match command:
            case AnswerTool():
                self._mind.answer(command)
            case CreateResponse():
                pass  # the service answers by itself, or not
            case StartUserTurn():
                self._take_back()
                self._inner.send(command)
            case ClearInput():
                self._words.clear()
                self._inner.send(command)
            case SendText():
                self._mind.note(Message(role=command.role, text=command.text))
                if command.role is Role.USER:
                    self._words.append(command.text)
                self._inner.send(command)
            case Interrupt():
                self._interrupt(command)
            case _:
                self._inner.send(command)

    def _interrupt(self, command: Interrupt) -> None:
        if command.response_id not in self._stopped:
            # The person took the floor, or said stop: what is thought about is stopped, too.
            self._take_back()
        thought = self._spoken.pop(command.response_id, None)
        if thought is not None:
            self._mind.settle(thought, command.heard_text)
            if thought.text:
                self._asked.clear()  # it was being said
        self._inner.send(command)

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def _event(self, event: S2sEvent) -> None:
        match event:
            case InputTranscript():
                self._reactions.heard(event.utterance_id)
                self._heard_person(event)
                self._feed.put(event)
            case InputCommitted() | SpeechStarted():
                self._reactions.heard(event.utterance_id)
                self._pass(event)
            case ResponseStarted():
                self._reactions.begins(event, self._now())
                self._spoken[event.response_id] = Thought()
                while len(self._spoken) > REMEMBERED:
                    del self._spoken[next(iter(self._spoken))]
                self._planned &= self._spoken.keys()
                self._stopped &= self._spoken.keys()
                self._pass(event)
            case ResponseAudio() | ResponseText():
                if not self._is_reaction(event):
                    if isinstance(event, ResponseText):
                        self._remember(event)
                    self._pass(event)
            case ResponseDone():
                self._response_done(event)
            case Interrupted() if (one := event.response_id) is not None:
                self._stopped.add(one)
                if not self._reactions.is_unwanted(one):
                    self._pass(event)
            case Interrupted():
                self._stopped |= self._spoken.keys()
                self._pass(event)
            case _:
                self._pass(event)

    def _is_reaction(self, event: ResponseAudio | ResponseText) -> bool:
        """Whether it is of a response that is not to be heard; such a one is stopped at once."""
        response_id = event.response_id
        words = event.delta if isinstance(event, ResponseText) else None
        if self._reactions.speaks(response_id, words):
            self._spoken.pop(response_id, None)
            self._inner.send(Interrupt(response_id=response_id, heard_samples=0, heard_text=""))
        return self._reactions.is_unwanted(response_id)

    def _response_done(self, event: ResponseDone) -> None:
        thought = self._spoken.get(event.response_id)
        words = "" if thought is None else thought.text
        is_reaction = self._reactions.ends(event.response_id, words, self._now())
        if event.status is ResponseStatus.CANCELLED:
            self._stopped.add(event.response_id)
        if is_reaction:
            self._held.pop(event.response_id, None)
            return
        if self._asked and words:
            event = replace(event, asked_text=" ".join(self._asked))
            self._asked.clear()
        self._pass(event)

    def _remember(self, event: ResponseText) -> None:
        """The service says that: the words it planned, or where it plans none, those it spoke."""
        is_plan = event.stage is TextStage.PLANNED
        if is_plan:
            self._planned.add(event.response_id)
        thought = self._spoken.get(event.response_id)
        if thought is not None and (is_plan or event.response_id not in self._planned):
            self._mind.tell(thought, event.delta)

    def _announce(self, response_id: ResponseId) -> None:
        """Tell of a response that was held."""
        if (started := self._held.pop(response_id, None)) is not None:
            self._feed.put(started)

    @abstractmethod
    def _pass(self, event: S2sEvent) -> None:
        """An event of the service that the session may want to know of."""

    # ── thinking ────────────────────────────────────────────────────────────────────────────

    def _begin(
        self, key: K, name: str, think: Callable[[Thought], Coroutine[Any, Any, None]]
    ) -> None:
        """Let the agent think about that, and nothing else."""
        if key in self._works:
            return
        work = self._works[key] = _Work(WorkId(f"{name} {key}"), Thought())
        self._feed.put(WorkStarted(work_id=work.id))
        self._take_back(but=key)
        if key in self._works:
            work.task = self._tasks.create_task(
                self._carry_out(key, think, work.thought), name=f"beluga-voice {work.id}"
            )

    async def _carry_out(
        self, key: K, think: Callable[[Thought], Coroutine[Any, Any, None]], thought: Thought
    ) -> None:
        await think(thought)
        if (work := self._works.pop(key, None)) is not None:
            self._feed.put(WorkEnded(work_id=work.id))

    def _take_back(self, *, but: K | None = None) -> None:
        """The person goes on: what they asked is asked again, with what they add."""
        for key in [one for one in self._works if one != but]:
            self._give_up(key)
            self._supersede(key)
            self._reactions.expect(self._now(), self._silent())

    def _give_up(self, key: K) -> None:
        """Stop the agent; the service is not told."""
        work = self._works.pop(key)
        if self._question:
            self._words.insert(0, self._question)
            self._question = ""
        if work.task is not None:
            work.task.cancel()
        self._mind.drop(work.thought)
        self._feed.put(WorkEnded(work_id=work.id))

    def _stop(self, reason: str) -> None:
        for key in list(self._works):
            self._give_up(key)

    def _silent(self) -> set[ResponseId]:
        """Responses that asked, and have said nothing yet."""
        return set()

    @abstractmethod
    def _supersede(self, key: K) -> None:
        """Tell the service that there is nothing to say to that."""

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    # ── the person's words ──────────────────────────────────────────────────────────────────

    def _heard_person(self, event: InputTranscript) -> None:
        if not event.is_final:
            self._open[event.utterance_id] = event.text
            return
        self._open.pop(event.utterance_id, None)
        text = event.text.strip()
        guess = next((one for one in self._guessed if is_alike(one, text)), None)
        if guess is not None:
            self._guessed.remove(guess)
        elif text:
            self._mind.note(Message(role=Role.USER, text=text))
            if event.utterance_id not in self._handed:
                self._words.append(text)
        self._handed.discard(event.utterance_id)
        self._known.set()

    def _guess(self, text: str) -> None:
        """The service says that this is what the person said; its own words may come later."""
        self._mind.note(Message(role=Role.USER, text=text))
        self._guessed = [*self._guessed[-3:], text]

    async def _words_of_person(self) -> str:
        """What the person said since the agent was asked; waits a little for the last of it."""
        if self._open or not self._words:
            self._known.clear()
            try:
                async with asyncio.timeout(GRACE_SECONDS):
                    await self._known.wait()
            except TimeoutError:
                pass
        early: dict[UtteranceId, str] = {name: text for name, text in self._open.items() if text}
        self._handed |= early.keys()
        self._open.clear()
        self._question = " ".join([*self._words, *early.values()])
        self._words.clear()
        return self._question
