"""What is shared where the service's own responses are the session's: who said what."""

import asyncio
from abc import abstractmethod

from msgspec.structs import replace

from beluga_voice.events import (
    AnswerTool,
    ClearInput,
    CreateResponse,
    InputTranscript,
    Interrupt,
    Message,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseText,
    Role,
    S2sCommand,
    S2sEvent,
    SendText,
    StartUserTurn,
    TextStage,
    UtteranceId,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.reasoned.base import ReasonedLink
from beluga_voice.providers.s2s.reasoned.mind import Mind, Thought
from beluga_voice.transports.feed import Feed

REMEMBERED = 64
"""Responses that may still be interrupted after they were made."""
GRACE_SECONDS = 1.3
"""How long the last words of the person are waited for before the agent begins."""


class PassingLink(ReasonedLink):
    """Passes on what the service says, and keeps the agent's memory of it."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(inner, mind, feed, tasks)
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
                thought = self._spoken.pop(command.response_id, None)
                if thought is not None:
                    self._mind.settle(thought, command.heard_text)
                    if thought.text:
                        self._asked.clear()  # it was being said
                self._inner.send(command)
            case _:
                self._inner.send(command)

    def _event(self, event: S2sEvent) -> None:
        match event:
            case InputTranscript():
                self._heard_person(event)
                self._feed.put(event)
            case ResponseStarted():
                self._spoken[event.response_id] = Thought()
                while len(self._spoken) > REMEMBERED:
                    del self._spoken[next(iter(self._spoken))]
                self._planned &= self._spoken.keys()
                self._pass(event)
            case ResponseText():
                self._remember(event)
                self._pass(event)
            case ResponseDone():
                thought = self._spoken.get(event.response_id)
                if self._asked and thought is not None and thought.text:
                    event = replace(event, asked_text=" ".join(self._asked))
                    self._asked.clear()
                self._pass(event)
            case _:
                self._pass(event)

    def _remember(self, event: ResponseText) -> None:
        """The service says that: the words it planned, or where it plans none, those it spoke."""
        is_plan = event.stage is TextStage.PLANNED
        if is_plan:
            self._planned.add(event.response_id)
        thought = self._spoken.get(event.response_id)
        if thought is not None and (is_plan or event.response_id not in self._planned):
            self._mind.remember(thought, event.delta)

    def _take_back(self) -> None:
        """The person goes on: what they asked is asked again, with what they add."""
        question, self._question = self._question, ""
        if self._drop_work() and question:
            self._words.insert(0, question)

    @abstractmethod
    def _drop_work(self) -> bool:
        """Stop the agent, and tell the service; whether it was thinking."""

    @abstractmethod
    def _pass(self, event: S2sEvent) -> None:
        """An event of the service that the session may want to know of."""

    # ── the person's words ──────────────────────────────────────────────────────────────────

    def _heard_person(self, event: InputTranscript) -> None:
        if not event.is_final:
            self._open[event.utterance_id] = event.text
            return
        self._open.pop(event.utterance_id, None)
        text = event.text.strip()
        guess = next((one for one in self._guessed if _is_alike(one, text)), None)
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
        early = {name: text for name, text in self._open.items() if text}
        self._handed |= early.keys()
        self._open.clear()
        self._question = " ".join([*self._words, *early.values()])
        self._words.clear()
        return self._question


def _is_alike(guess: str, text: str) -> bool:
    """Whether both are the same words, give or take some."""
    ours, theirs = set(guess.casefold().split()), set(text.casefold().split())
    return bool(ours & theirs) and len(ours & theirs) * 2 >= len(ours | theirs)
