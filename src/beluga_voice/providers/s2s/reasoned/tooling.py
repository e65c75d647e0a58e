"""External reasoning by a tool: the service is ordered to ask our agent and read out its answer.

How it works. A response that does nothing but ask is kept from the session, which goes on waiting
for an answer; the one that reads the answer out is passed on as it is.
"""

import asyncio

import msgspec

from beluga_voice.events import (
    AnswerTool,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sEvent,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    ToolSpec,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.reasoned.mind import AgentFailed, Mind, Thought
from beluga_voice.providers.s2s.reasoned.passing import PassingLink
from beluga_voice.transports.feed import Feed

ASK_AGENT = ToolSpec(
    name="ask_agent",
    description="Asks the agent what to answer. Call it for everything the person says.",
    parameters=(
        '{"type":"object","properties":{"utterance":{"type":"string",'
        '"description":"what the person said, word for word"}},"required":["utterance"]}'
    ),
)
TOOL_ORDERS = (
    "You are the ears and the voice of an agent. You never answer by yourself. For everything the "
    "person says, call ask_agent with their words, say nothing before it returns, and then read "
    "out what it returns, word for word, adding nothing."
)
SUPERSEDED = "The person went on speaking; say nothing to this."


class _Question(msgspec.Struct):
    utterance: str = ""


class ToolingLink(PassingLink):
    """See above."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(inner, mind, feed, tasks)
        self._works: dict[ToolCallId, asyncio.Task[None]] = {}
        self._held: dict[ResponseId, ResponseStarted] = {}
        """Responses that have neither sounded nor spoken yet."""
        self._asking: set[ResponseId] = set()
        """Those among them that asked our agent."""

    def _pass(self, event: S2sEvent) -> None:
        match event:
            case ResponseStarted():
                self._held[event.response_id] = event
            case ResponseAudio() | ResponseText():
                if (started := self._held.pop(event.response_id, None)) is not None:
                    self._feed.put(started)
                self._feed.put(event)
            case ResponseDone():
                self._done(event)
            case ToolCalled():
                self._called(event)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if (task := self._works.pop(call_id, None)) is not None:
                        task.cancel()
            case _:
                self._feed.put(event)

    def _done(self, event: ResponseDone) -> None:
        started = self._held.pop(event.response_id, None)
        did_ask = event.response_id in self._asking
        self._asking.discard(event.response_id)
        if started is not None and did_ask and event.status is ResponseStatus.COMPLETED:
            return
        if started is not None:
            self._feed.put(started)
        self._feed.put(event)

    def _called(self, event: ToolCalled) -> None:
        self._asking |= {event.response_id} if event.response_id else self._held.keys()
        if event.name != ASK_AGENT.name:
            message = f"there is no tool named {event.name!r}; call {ASK_AGENT.name}"
            self._inner.send(AnswerTool(call_id=event.call_id, output=message, is_error=True))
            return
        self._take_back()
        name = f"beluga-voice {ASK_AGENT.name} {event.call_id}"
        self._works[event.call_id] = self._tasks.create_task(self._work(event), name=name)

    def _drop_work(self) -> bool:
        works, self._works = self._works, {}
        for call_id, task in works.items():
            task.cancel()
            self._inner.send(AnswerTool(call_id=call_id, output=SUPERSEDED))
        return bool(works)

    async def _work(self, event: ToolCalled) -> None:
        """Let the agent think; its whole answer is the tool's result."""
        call_id = event.call_id
        text = await self._words_of_person()
        if not text:
            text = self._question = _utterance(event.arguments)
            self._guess(text)
        try:
            thought = Thought()
            pieces = [one async for one in self._mind.think(thought, text, is_remembered=False)]
        except AgentFailed as error:
            self._inner.send(AnswerTool(call_id=call_id, output=str(error), is_error=True))
        else:
            words = "".join(pieces).strip()
            self._asked.append(words)
            self._inner.send(AnswerTool(call_id=call_id, output=words))
        self._works.pop(call_id, None)

    def _stop(self, reason: str) -> None:
        for task in self._works.values():
            task.cancel()


def _utterance(arguments: str) -> str:
    """What the model says the person said; nothing if it wrote something else."""
    try:
        return msgspec.json.decode(arguments, type=_Question).utterance.strip()
    except (msgspec.MsgspecError, UnicodeError):
        return ""
