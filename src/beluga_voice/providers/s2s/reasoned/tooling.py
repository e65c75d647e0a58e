"""External reasoning by a tool: the service is ordered to ask our agent and read out its answer.

How it works. A response that does nothing but ask is kept from the session, which goes on waiting
for an answer; the one that reads the answer out is passed on as it is.
"""

import asyncio
from functools import partial

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
from beluga_voice.providers.s2s.conversation import Thought
from beluga_voice.providers.s2s.reasoned.mind import AgentFailed, Mind
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


class ToolingLink(PassingLink[ToolCallId]):
    """See above."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(inner, mind, feed, tasks, told=SUPERSEDED)
        self._asking: set[ResponseId] = set()
        """Responses that asked our agent."""

    def _pass(self, event: S2sEvent) -> None:
        match event:
            case ResponseStarted():
                self._held[event.response_id] = event
            case ResponseAudio() | ResponseText():
                self._announce(event.response_id)
                self._feed.put(event)
            case ResponseDone():
                self._done(event)
            case ToolCalled():
                self._called(event)
            case ToolCallWithdrawn():
                for call_id in event.call_ids:
                    if call_id in self._works:
                        self._give_up(call_id)
            case _:
                self._feed.put(event)

    def _done(self, event: ResponseDone) -> None:
        did_ask = event.response_id in self._asking
        self._asking.discard(event.response_id)
        is_held = event.response_id in self._held
        if is_held and did_ask and event.status is ResponseStatus.COMPLETED:
            del self._held[event.response_id]
            return
        self._announce(event.response_id)
        self._feed.put(event)

    def _called(self, event: ToolCalled) -> None:
        self._asking &= self._spoken.keys()
        self._asking |= {event.response_id} if event.response_id else self._held.keys()
        if event.name != ASK_AGENT.name:
            message = f"there is no tool named {event.name!r}; call {ASK_AGENT.name}"
            self._inner.send(AnswerTool(call_id=event.call_id, output=message, is_error=True))
            return
        self._begin(event.call_id, ASK_AGENT.name, partial(self._work, event))

    async def _work(self, event: ToolCalled, thought: Thought) -> None:
        """Let the agent think; its whole answer is the tool's result."""
        text = await self._words_of_person()
        if not text:
            text = self._question = _utterance(event.arguments)
            self._guess(text)
        try:
            pieces = [one async for one in self._mind.think(thought, text, is_remembered=False)]
        except AgentFailed as error:
            self._answer(event.call_id, str(error), is_error=True)
        else:
            self._answer(event.call_id, "".join(pieces).strip())

    def _answer(self, call_id: ToolCallId, output: str, *, is_error: bool = False) -> None:
        if call_id not in self._works:
            return  # it was stopped, and the agent did not mind
        self._question = ""  # it is being answered
        if not is_error:
            self._asked.append(output)
        self._reactions.answered(output, self._now())
        self._inner.send(AnswerTool(call_id=call_id, output=output, is_error=is_error))

    def _supersede(self, key: ToolCallId) -> None:
        self._inner.send(AnswerTool(call_id=key, output=SUPERSEDED))

    def _silent(self) -> set[ResponseId]:
        return self._asking & self._held.keys()


def _utterance(arguments: str) -> str:
    """What the model says the person said; nothing if it wrote something else."""
    try:
        return msgspec.json.decode(arguments, type=_Question).utterance.strip()
    except (msgspec.MsgspecError, UnicodeError):
        return ""
