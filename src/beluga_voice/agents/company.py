"""An agent that does not leave the person alone while it works.

How it works. The agent runs in a task of its own. When it has given nothing for too long, and the
words so far have had time to sound, the person is told that it is still at work. How long words
sound is estimated from their letters. Nothing is said in the middle of a sentence.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from itertools import chain, repeat

from beluga_voice.agents.functions import GivenAgent, agent_of
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import AgentTurn, Tool

WORDS = ("One moment, please.", "I am still looking.")
QUIET_MS = 2500.0
MS_PER_LETTER = 65.0
"""How long a letter sounds, as voices usually speak: about fifteen letters a second."""

_TAIL = 40
"""Letters at the end of a text that show whether a sentence ends there."""
_COMPLETE = re.compile(r"(?:^|[.!?…。！？][\"'”’)\]]*|\n)\s*\Z")


class Accompanied:
    """Answers with an agent, and speaks for it when it is silent for too long.

    `agent` is whatever `VoiceSession` takes. `words` are said one after the other, the last one
    again and again: first after `quiet_ms` milliseconds without sound, then after as long again.
    They are part of the answer, and of the history. Choose fewer milliseconds than
    `DeadAirSettings.answer_ms`, after which a silent agent is asked again or given up.

    Raises `ConfigurationError` for no words, empty ones, or no time.
    """

    def __init__(
        self, agent: GivenAgent, *, words: Sequence[str] = WORDS, quiet_ms: float = QUIET_MS
    ) -> None:
        if isinstance(words, str) or not words or not all(one.strip() for one in words):
            raise ConfigurationError("words is a list of sentences to say meanwhile", op="agent")
        if quiet_ms <= 0:
            raise ConfigurationError(f"quiet_ms {quiet_ms} should be above 0", op="agent")
        self._agent = agent_of(agent)
        self._words = tuple(words)
        self._quiet = quiet_ms / 1000
        self.phrases: Sequence[str] = getattr(agent, "phrases", ())
        self.tools: Sequence[Tool] = getattr(agent, "tools", ())

    async def respond(self, turn: AgentTurn, /) -> AsyncGenerator[str]:
        """The agent's pieces as they come, and words in between where none come."""
        loop = asyncio.get_running_loop()
        given: asyncio.Queue[str | None] = asyncio.Queue()
        agent = loop.create_task(
            _run(self._agent.respond(turn), given), name="beluga-voice accompanied agent"
        )
        agent.add_done_callback(lambda _: given.put_nowait(None))
        words = chain(self._words, repeat(self._words[-1]))
        text, silent_from = "", loop.time()
        try:
            while True:
                try:
                    async with asyncio.timeout_at(silent_from + self._quiet):
                        piece = await given.get()
                except TimeoutError:
                    is_complete = _COMPLETE.search(text) is not None
                    piece = f"{_space_after(text)}{next(words)} " if is_complete else ""
                if piece is None:
                    break
                letters = len(piece.strip())
                silent_from = max(silent_from, loop.time()) + letters * MS_PER_LETTER / 1000
                text = (text + piece)[-_TAIL:]
                if piece:
                    yield piece
            await agent
        finally:
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)


async def _run(pieces: AsyncIterator[str], given: asyncio.Queue[str | None]) -> None:
    """Take what the agent gives; nobody waits for room, since it is spoken as it comes."""
    try:
        async for piece in pieces:
            given.put_nowait(piece)
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _space_after(text: str) -> str:
    return "" if not text or text[-1].isspace() else " "
