"""What an agent knows of a conversation: what was said, as it was heard, and done.

How it works. What the person said is noted when its words are final. What the agent says is a
`Thought`, which has its place in the history from its first words on, and grows. It counts as heard
until somebody says how much of it was. One that is prepared has no place and runs no tool until it
is adopted: nobody knows of it. Tools of the agent are run by the session: a call goes out as
`ToolCalled`, and its result comes back through `answer`. A call that nobody waits for any more is
withdrawn, and the history says so: a call without a result is one that models refuse to read.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from beluga_voice.errors import ToolFailed
from beluga_voice.events import (
    AnswerTool,
    HistoryItem,
    Message,
    ResponseId,
    Role,
    S2sEvent,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    ToolResult,
    ToolSpec,
    ToolUse,
    UtteranceId,
)

HISTORY_LIMIT = 400
"""What an agent is told of at most; older things are forgotten."""
WITHDRAWN = "Its result was not waited for."


@dataclass(slots=True, eq=False)
class Thought:
    """What the agent says to one thing, while it is made."""

    response_id: ResponseId | None = None
    """The response it is spoken in, where it has one of its own."""
    pieces: list[str] = field(default_factory=list[str])
    heard: Message | None = None
    """What was heard of it, once that is known."""
    calls: dict[ToolCallId, asyncio.Future[str]] = field(
        default_factory=dict[ToolCallId, asyncio.Future[str]]
    )
    """The tools it waits for."""
    on_call: Callable[[], None] | None = None
    """Called before each tool: lets the words so far be spoken."""
    prepared_for: Message | None = None
    """What it answers, for one that is prepared: the history does not hold that yet."""
    is_decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when one that was prepared is adopted, or over."""
    is_over: bool = False
    """Whether nothing more is taken from it."""

    @property
    def text(self) -> str:
        """The words so far."""
        return "".join(self.pieces)

    @property
    def item(self) -> Message:
        """What the history says of it."""
        return self.heard or Message(role=Role.AGENT, text=self.text)

    @property
    def awaits_words(self) -> bool:
        """Whether it has none, and may have some yet."""
        return not (self.pieces or self.heard or self.is_over)


@dataclass(slots=True, eq=False)
class _Words:
    """What the person said or wrote over this link."""

    item: Message
    utterance_id: UtteranceId | None = None
    is_disregarded: bool = False
    """Whether nobody is to answer it."""


type _Place = HistoryItem | Thought | _Words


class Conversation:
    """The history of one link, and the calls of its agent.

    `calls` is what the ids of calls begin with: it has to be unique over all links. `give` tells
    the session of them. Raises nothing; what is older than `HISTORY_LIMIT` items is forgotten, with
    a call its result.
    """

    def __init__(
        self,
        *,
        calls: str,
        instructions: str,
        tools: tuple[ToolSpec, ...],
        history: Sequence[HistoryItem],
        give: Callable[[S2sEvent], None],
    ) -> None:
        self.instructions = instructions
        self.tools = tools
        self._calls = calls
        self._count = 0
        self._give = give
        self._places: list[_Place] = []
        self._begun: list[Thought] = []
        """Those that the session knows of, and that have no place here yet."""
        self._pending: dict[ToolCallId, Thought] = {}
        self.seed(*history)

    # ── what was said ───────────────────────────────────────────────────────────────────────

    @property
    def history(self) -> list[HistoryItem]:
        """What was said, as heard so far."""
        items = map(_item, self._places)
        return [one for one in items if not isinstance(one, Message) or one.text]

    @property
    def unanswered(self) -> str:
        """What the person said since the agent had the floor, but for what was disregarded."""
        said = (_item(self._places[index]) for index in reversed(self._unanswered()))
        return " ".join(one.text for one in said if isinstance(one, Message))

    def _unanswered(self) -> list[int]:
        """Where that is, newest first."""
        found: list[int] = []
        for index in range(len(self._places) - 1, -1, -1):
            place = self._places[index]
            item = _item(place)
            if not isinstance(item, Message) or not item.text:
                continue  # a tool that ran for what was said, or nothing
            if item.role is Role.AGENT:
                break
            is_void = isinstance(place, _Words) and place.is_disregarded
            if item.role is Role.USER and not is_void:
                found.append(index)
        return found

    def note(self, *items: HistoryItem) -> None:
        """That was said, or done."""
        for item in items:
            if isinstance(item, Message) and item.role is Role.USER:
                self._places.append(_Words(item))
            else:
                self._places.append(item)
        self._trim()

    def hear(self, utterance_id: UtteranceId, text: str) -> None:
        """The person said that."""
        self._places.append(_Words(Message(role=Role.USER, text=text), utterance_id))
        self._trim()

    def disregard(self, utterance_id: UtteranceId) -> None:
        """What was heard there was said, and is not to be answered."""
        for place in self._places:
            if isinstance(place, _Words) and place.utterance_id == utterance_id:
                place.is_disregarded = True

    def seed(self, *items: HistoryItem) -> None:
        """That was said and done over another link.

        Words of the agent alone are those of a response that was over when that link was: what was
        said over this one, and is unanswered, was said after them, or over them.
        """
        at = len(self._places)
        if all(isinstance(one, Message) and one.role is Role.AGENT for one in items):
            unanswered = (
                one for one in self._unanswered() if isinstance(self._places[one], _Words)
            )
            at = min(unanswered, default=at)
        self._places[at:at] = _paired(items)
        self._trim()

    def begin(self, thought: Thought) -> None:
        """The session is told that the agent will say something."""
        self._begun = [*filter(_awaits_words, self._begun), thought]

    def tell(self, thought: Thought, piece: str) -> None:
        """The agent says that, as part of this."""
        if not thought.pieces and thought.prepared_for is None:
            self._places.append(thought)
            self._trim()
        thought.pieces.append(piece)

    def adopt(self, thought: Thought) -> None:
        """What was prepared is wanted."""
        thought.prepared_for = None
        if thought.pieces:
            self._places.append(thought)
            self._trim()
        thought.is_decided.set()

    def settle(self, thought: Thought, heard_text: str) -> None:
        """So much of it was heard, and no more; nothing leaves no trace."""
        thought.heard = Message(role=Role.AGENT, text=heard_text, is_cut=True)

    def condense(self, summary: str, keep: int) -> None:
        """Let a summary take the place of all but the last `keep` items.

        A response that has begun is one of them. More is kept where that would part a tool's
        result from its call, or forget a call that runs. What is noted here and nowhere else, that
        a call was withdrawn, is not counted.
        """
        places = self._places
        first = len(places)
        keep -= sum(map(_awaits_words, self._begun))
        while first and keep > 0:
            first -= 1
            keep -= _is_counted(places[first])
        calls = {one.call_id: at for at, one in enumerate(places) if isinstance(one, ToolUse)}
        first = min([first, *(calls.get(one, first) for one in self._pending)])
        for at in range(len(places) - 1, -1, -1):
            place = places[at]
            if at >= first and isinstance(place, ToolResult):
                first = min(first, calls.get(place.call_id, first))
        places[:first] = [Message(role=Role.SYSTEM, text=summary)]
        self._trim()

    def _trim(self) -> None:
        places = self._places
        if len(places) > HISTORY_LIMIT:
            places[:] = [one for one in places if not _is_unheard(one)]
        while len(places) > HISTORY_LIMIT:
            gone = places.pop(0)
            if isinstance(gone, ToolUse):
                places[:] = [
                    one
                    for one in places
                    if not (isinstance(one, ToolResult) and one.call_id == gone.call_id)
                ]

    # ── tools ───────────────────────────────────────────────────────────────────────────────

    async def call_tool(self, thought: Thought, name: str, arguments: str) -> str:
        """Let the session run a tool for the agent, once it is sure that its answer is wanted.

        Raises `ToolFailed` when that does, or when nobody wants the answer any more. Cancelling
        withdraws the call.
        """
        if thought.on_call is not None and not thought.is_over:
            thought.on_call()
        if thought.prepared_for is not None:
            await thought.is_decided.wait()
        if thought.is_over:
            raise ToolFailed("the answer that wants it is not wanted any more", op="tools")
        self._count += 1
        call_id = ToolCallId(f"{self._calls}-{self._count}")
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        thought.calls[call_id] = waiting
        self._pending[call_id] = thought
        self.note(ToolUse(call_id=call_id, name=name, arguments=arguments))
        self._give(
            ToolCalled(
                call_id=call_id, name=name, arguments=arguments, response_id=thought.response_id
            )
        )
        try:
            return await waiting
        finally:
            self._withdraw(call_id)  # if it has no result yet

    def answer(self, command: AnswerTool) -> None:
        """The session has run a tool; what nobody waits for any more is noted."""
        thought = self._pending.pop(command.call_id, None)
        if thought is None:
            self._note_late_result(command)
            return
        self._note_result(command.call_id, command.output, is_error=command.is_error)
        waiting = thought.calls.pop(command.call_id)
        if waiting.done():
            return
        if command.is_error:
            waiting.set_exception(ToolFailed(command.output, op="tools"))
        else:
            waiting.set_result(command.output)

    def drop(self, thought: Thought) -> None:
        """It is over, or nobody wants it: withdraw its calls, and take no more from it."""
        thought.is_over = True
        thought.is_decided.set()
        self._withdraw(*thought.calls)

    def _withdraw(self, *call_ids: ToolCallId) -> None:
        gone: list[ToolCallId] = []
        for call_id in call_ids:
            if (thought := self._pending.pop(call_id, None)) is not None:
                thought.calls.pop(call_id).cancel()
                self._note_result(call_id, WITHDRAWN, is_error=True)
                gone.append(call_id)
        if gone:
            self._give(ToolCallWithdrawn(call_ids=tuple(gone)))

    def _note_late_result(self, command: AnswerTool) -> None:
        for index, place in enumerate(self._places):
            if (
                isinstance(place, ToolResult)
                and place.call_id == command.call_id
                and place.output == WITHDRAWN
            ):
                self._places[index] = ToolResult(
                    call_id=command.call_id, output=command.output, is_error=command.is_error
                )

    def _note_result(self, call_id: ToolCallId, output: str, *, is_error: bool) -> None:
        """Directly after its call, as models want it."""
        for index, place in enumerate(self._places):
            if isinstance(place, ToolUse) and place.call_id == call_id:
                result = ToolResult(call_id=call_id, output=output, is_error=is_error)
                self._places.insert(index + 1, result)
                break
        self._trim()


def _item(place: _Place) -> HistoryItem:
    return place.item if isinstance(place, Thought | _Words) else place


def _awaits_words(thought: Thought) -> bool:
    return thought.awaits_words


def _is_unheard(place: _Place) -> bool:
    return isinstance(place, Thought) and place.heard is not None and not place.heard.text


def _is_counted(place: _Place) -> bool:
    """Whether the session knows of it."""
    match _item(place):
        case Message(text=text):
            return bool(text)
        case ToolResult(output=output, is_error=is_error):
            return not (is_error and output == WITHDRAWN)
        case ToolUse():
            return True


def _paired(items: Sequence[HistoryItem]) -> Iterator[HistoryItem]:
    """The same, and a result for each call that has none."""
    answered = {one.call_id for one in items if isinstance(one, ToolResult)}
    for item in items:
        yield item
        if isinstance(item, ToolUse) and item.call_id not in answered:
            yield ToolResult(call_id=item.call_id, output=WITHDRAWN, is_error=True)


class Turn:
    """What an agent is given."""

    def __init__(self, conversation: Conversation, thought: Thought, text: str) -> None:
        self._conversation = conversation
        self._thought = thought
        self.text = text

    @property
    def history(self) -> Sequence[HistoryItem]:
        """What was said before, as heard."""
        likely = self._thought.prepared_for
        known = self._conversation.history
        return [*known, likely] if likely is not None and likely.text else known

    @property
    def instructions(self) -> str:
        """How the agent is to be."""
        return self._conversation.instructions

    @property
    def tools(self) -> Sequence[ToolSpec]:
        """What it may call."""
        return self._conversation.tools

    async def call_tool(self, name: str, arguments: str, /) -> str:
        """Let the session run a tool; raises `ToolFailed` when that does."""
        return await self._conversation.call_tool(self._thought, name, arguments)
