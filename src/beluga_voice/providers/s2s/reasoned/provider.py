"""External reasoning as a provider: any service that hears and speaks, and an agent that thinks.

How it works. A service is made to leave the words to us in one of three ways, by what it can do:

* `DELEGATION`: a duplex model hands work over, and speaks of what our agent answers.
* `SAY`: it listens without answering by itself, and speaks the words it is given.
* `TOOL`: it can do neither, but calls tools. It is given one, which is our agent, with orders to
  call it for whatever the person says and to read out what it returns.

How faithfully words were spoken is reported with each response, since the service is a model too.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from enum import StrEnum

from beluga_voice.errors import Unsupported
from beluga_voice.events import S2sEvent, ToolSpec
from beluga_voice.interfaces import (
    Agent,
    Capabilities,
    Faithfulness,
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
)
from beluga_voice.providers.s2s.reasoned.delegating import DelegatingLink
from beluga_voice.providers.s2s.reasoned.mind import Mind
from beluga_voice.providers.s2s.reasoned.saying import SayingLink
from beluga_voice.providers.s2s.reasoned.tooling import ASK_AGENT, TOOL_ORDERS, ToolingLink
from beluga_voice.transports.feed import Feed

_ANSWER_ORDERS = (
    "You are the ears and the voice of an agent. Hand every request over to it, "
    "and speak what it answers, in its words."
)


class Way(StrEnum):
    """How a service is made to leave the words to us."""

    DELEGATION = "delegation"
    SAY = "say"
    TOOL = "tool"


def ways_of(capabilities: Capabilities) -> tuple[Way, ...]:
    """The ways that a service with these capabilities takes, best first."""
    can_say = (
        capabilities.can_suppress_response
        and capabilities.has_input_transcript
        and capabilities.say is not Faithfulness.NONE
    )
    able = {
        Way.DELEGATION: capabilities.has_delegation,
        Way.SAY: can_say,
        Way.TOOL: capabilities.has_tools,
    }
    return tuple(way for way, is_able in able.items() if is_able)


class Reasoned:
    """A speech-to-speech provider whose words are those of an agent of ours.

    `way` is the best that the service takes, unless one is asked for. Raises `Unsupported` if
    there is none, naming what is missing.
    """

    def __init__(self, provider: SpeechToSpeech, agent: Agent, *, way: Way | None = None) -> None:
        able = provider.capabilities
        ways = ways_of(able)
        if not ways or way not in (None, *ways):
            wanted = "external reasoning" if way is None else f"external reasoning by {way}"
            raise Unsupported(
                f"{provider.name} cannot do {wanted}: it needs has_delegation, or "
                "can_suppress_response with has_input_transcript and say, or has_tools",
                op="session",
            )
        self._provider = provider
        self._agent = agent
        self._links = 0
        self.way = way or ways[0]
        self.name = provider.name
        is_saying = self.way is Way.SAY
        self.capabilities = replace(
            able,
            has_tools=True,
            has_delegation=False,
            has_text_input=able.has_text_input or is_saying,
            can_request_response=is_saying,
            transcribes_first=is_saying,
            can_prepare=False,
            takes_late_results=True,
            can_condense_history=True,
            can_suppress_response=is_saying,
            can_seed_history=True,
            can_add_history=True,
            mutable=frozenset({"instructions", "tools"}),
        )

    @asynccontextmanager
    async def connect(self, options: S2sOptions, /) -> AsyncGenerator[S2sLink]:
        """Connect to the service; tools, instructions and history are the agent's."""
        feed: Feed[S2sEvent] = Feed()
        self._links += 1
        mind = Mind(
            self._agent,
            number=self._links,
            instructions=options.instructions,
            tools=options.tools,
            history=options.history,
            give=feed.put,
        )
        async with (
            self._provider.connect(self._inner(options)) as inner,
            asyncio.TaskGroup() as tasks,
        ):
            link = self._link(inner, mind, feed, tasks, options)
            inner.attach(link.hear)
            try:
                yield link
            finally:
                link.close()

    def _link(
        self,
        inner: S2sLink,
        mind: Mind,
        feed: Feed[S2sEvent],
        tasks: asyncio.TaskGroup,
        options: S2sOptions,
    ) -> "SayingLink | DelegatingLink | ToolingLink":
        match self.way:
            case Way.SAY:
                return SayingLink(
                    inner,
                    mind,
                    feed,
                    tasks,
                    number=self._links,
                    respond_automatically=options.respond_automatically,
                )
            case Way.DELEGATION:
                return DelegatingLink(inner, mind, feed, tasks)
            case Way.TOOL:
                return ToolingLink(inner, mind, feed, tasks)

    def _inner(self, options: S2sOptions) -> S2sOptions:
        """What the service itself is told."""
        history = options.history if self._provider.capabilities.can_seed_history else ()
        match self.way:
            case Way.SAY:
                return replace(
                    options, respond_automatically=False, tools=(), history=(), instructions=""
                )
            case Way.DELEGATION:
                return replace(options, tools=(), history=history, instructions=_ANSWER_ORDERS)
            case Way.TOOL:
                tools: tuple[ToolSpec, ...] = (ASK_AGENT,)
                return replace(options, tools=tools, history=history, instructions=TOOL_ORDERS)
