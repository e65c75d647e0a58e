"""The agent behind a service, with what it knows of the conversation."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import suppress
from typing import cast

from beluga_voice.errors import BelugaError, where
from beluga_voice.events import HistoryItem, S2sEvent, ToolSpec
from beluga_voice.interfaces import Agent
from beluga_voice.providers.s2s.conversation import Conversation, Thought, Turn
from beluga_voice.sendable import sendable

log = logging.getLogger(__name__)


class AgentFailed(Exception):
    """The agent gave no answer; the message says why, without anybody's words."""


class Mind(Conversation):
    """An agent with a memory of this conversation."""

    def __init__(
        self,
        agent: Agent,
        *,
        number: int,
        instructions: str,
        tools: tuple[ToolSpec, ...],
        history: tuple[HistoryItem, ...],
        give: Callable[[S2sEvent], None],
    ) -> None:
        super().__init__(
            calls=f"agent-call-{number}",
            instructions=instructions,
            tools=tools,
            history=history,
            give=give,
        )
        self._agent = agent

    async def think(
        self, thought: Thought, text: str, *, is_remembered: bool = True
    ) -> AsyncGenerator[str]:
        """The pieces of the agent's answer; raises `AgentFailed`.

        They are remembered as said, unless it is heard from the service what is. When it is over,
        however it ends, no tool that it called runs on.
        """
        pieces: AsyncIterator[str] | None = None
        try:
            pieces = self._agent.respond(Turn(self, thought, text))
            async for piece in pieces:
                # An application's own function may yield anything, whatever its types say.
                if not isinstance(cast(object, piece), str):
                    raise AgentFailed(f"the agent gave {type(piece).__name__} instead of text")
                if piece:
                    piece = sendable(piece)
                    if is_remembered:
                        self.tell(thought, piece)
                    yield piece
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            raise AgentFailed("the agent was cancelled from inside") from None
        except AgentFailed:
            raise
        except BelugaError as error:
            raise AgentFailed(str(error)) from error
        except Exception as error:
            log.error("the agent failed: %s", where(error))
            raise AgentFailed(f"the agent failed: {type(error).__name__}") from error
        finally:
            self.drop(thought)
            if isinstance(pieces, AsyncGenerator):
                with suppress(Exception):
                    await pieces.aclose()
