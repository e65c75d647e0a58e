"""What the cascade makes for one turn."""

import asyncio
import re
from dataclasses import dataclass, field

from beluga_voice.events import ContextId, ResponseId, S2sEvent
from beluga_voice.providers.s2s.conversation import Thought


@dataclass(slots=True)
class Making:
    """One response in the making. Its id is also its context with the voice."""

    id: ResponseId
    context: ContextId
    thought: Thought
    task: asyncio.Task[None] | None = None
    answers: list[str] = field(default_factory=list[str])
    """The words it was prepared to answer."""
    kept: list[S2sEvent] = field(default_factory=list[S2sEvent])
    """What is told of one that is prepared, once it is wanted."""
    is_parted: bool = False
    """Whether a tool was called since the agent said something."""


def words_of(text: str) -> list[str]:
    """What has to agree for a prepared response to be the right one."""
    return re.findall(r"\w+", text.lower())
