"""Several agents that stand in for one another.

How it works. Each turn is given to the first agent that is not resting. One that fails, or has no
word in time, is followed by the next: before its first word, as if it had never been asked; after
it, with a note of what was said, so that the next goes on from there. Words go out whole: the
beginning of one that its agent did not finish is not said. If the next agent begins with what was
said already, word for word, that is left out.

While a tool of the session runs for an agent, it is not late. An agent that is left is cancelled,
and with it its wait for tools; what they gave stays in the history for the next one to see.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing, contextmanager

from beluga_voice.agents.functions import GivenAgent, agent_of
from beluga_voice.errors import ConfigurationError, ProviderError, where
from beluga_voice.events import HistoryItem, ToolSpec
from beluga_voice.interfaces import Agent, AgentTurn
from beluga_voice.resilience.notices import Switched, tell
from beluga_voice.resilience.order import Order

log = logging.getLogger(__name__)

FIRST_WORD_MS = 2500.0
"""Two agents that are too late leave a third one time before the session asks again."""
PROGRESS_MS = 2500.0
REST_SECONDS = 30.0
STOP_SECONDS = 0.2
"""How long an agent is waited for that was cancelled, once and then again: twice that is less than
the cascade waits for its own."""
AHEAD = 64
"""Pieces of an answer that nobody has taken yet; then the agent waits."""

_NOTE = "{text}\n(You have answered so far: “{said}”. Go on from there, and repeat nothing.)"
_PART_OF_A_WORD = re.compile(r"[^\W\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+$")
"""Letters at the end; scripts without spaces have words of their own."""
_WORD = re.compile(r"\w+")


class FallbackAgent:
    """An agent that is the first of these that works, at every moment.

    They are whatever `agent_of` takes. One has failed that raises, has no word within
    `first_word_ms`, or none within `progress_ms` of its last one; the last one that is left may
    take its time. If it fails, its error is raised. One that failed is asked last for
    `rest_seconds`, by all who use this object; then by one of them, and if that goes well by all.
    `on_switch` is told who followed whom, and whether in the middle of an answer.

    Raises `ConfigurationError` for less than two agents, and for times that are not above 0.
    """

    def __init__(
        self,
        *agents: GivenAgent,
        first_word_ms: float = FIRST_WORD_MS,
        progress_ms: float = PROGRESS_MS,
        rest_seconds: float = REST_SECONDS,
        on_switch: Callable[[Switched], None] | None = None,
    ) -> None:
        if len(agents) < 2:
            raise ConfigurationError("a fallback needs two agents or more", op="fallback")
        if min(first_word_ms, progress_ms, rest_seconds) <= 0:
            raise ConfigurationError("times are above 0", op="fallback")
        self._agents = [agent_of(one) for one in agents]
        self._names = [_name(one) for one in agents]
        self._first_word_seconds = first_word_ms / 1000
        self._progress_seconds = progress_ms / 1000
        self._order = Order(len(agents), rest_seconds)
        self._on_switch = on_switch
        self.phrases = tuple(phrase for one in agents for phrase in getattr(one, "phrases", ()))
        """Words that any of them expects."""

    async def respond(self, turn: AgentTurn, /) -> AsyncGenerator[str]:
        """The pieces of the answer; closing it stops whoever works on it."""
        said = ""
        attempts: list[_Attempt] = []
        left = list(self._order.at(_now()))
        try:
            while True:
                one = left.pop(0)
                attempts.append(attempt := _Attempt(self._agents[one], turn, said))
                try:
                    with self._judged(one):
                        async with aclosing(self._pieces(attempt, said, is_last=not left)) as told:
                            async for piece in told:
                                said += piece
                                yield piece
                    return
                except _Broke as broke:
                    attempt.cancel()
                    self._tell(one, left[0] if left else None, broke.reason, bool(said))
                    if not left:
                        raise broke.error from broke.error.__cause__
        finally:
            for attempt in attempts:
                await attempt.stop()

    @contextmanager
    def _judged(self, one: int) -> Generator[None]:
        """How it went with that agent, for who is asked first from now on."""
        self._order.begin(one)
        try:
            yield
        except _Broke:
            self._order.failed(one, _now())
            raise
        except BaseException:
            self._order.given_up(one)
            raise
        self._order.worked(one, _now())

    async def _pieces(
        self, attempt: "_Attempt", said: str, *, is_last: bool
    ) -> AsyncGenerator[str]:
        """What one agent adds to what was said, in whole words."""
        news = _News(said)
        part = ""
        has_begun = False
        while True:
            limit = self._progress_seconds if has_begun else self._first_word_seconds
            piece = await attempt.next(None if is_last else limit)
            has_begun = True
            text = part + (piece or "")
            part = ""
            if piece is not None and (found := _PART_OF_A_WORD.search(text)) is not None:
                text, part = text[: found.start()], found[0]
            if text := news.of(text):
                yield text
            if piece is None:
                return

    def _tell(self, previous: int, following: int | None, reason: str, is_mid_call: bool) -> None:
        name = None if following is None else self._names[following]
        log.info("the agent %s failed, to %s", self._names[previous], name)
        tell(
            self._on_switch,
            Switched(
                previous=self._names[previous],
                following=name,
                reason=reason,
                is_mid_call=is_mid_call,
            ),
        )


class _Broke(Exception):
    """An agent did not do what it was asked for."""

    def __init__(self, reason: str, error: Exception) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


class _Attempt:
    """One agent at work on one turn, in a task of its own; also the turn that it is given."""

    def __init__(self, agent: Agent, turn: AgentTurn, said: str) -> None:
        self._agent = agent
        self._turn = turn
        self._said = said
        self._pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue(AHEAD)
        self._calls = 0
        self._limit: float | None = None
        self._clock: asyncio.Timeout | None = None
        self._task = asyncio.create_task(self._work(), name="beluga-voice agent")

    # ── what the agent is given ─────────────────────────────────────────────────────────────

    @property
    def text(self) -> str:
        if not self._said:
            return self._turn.text
        return _NOTE.format(text=self._turn.text, said=self._said.strip())

    @property
    def history(self) -> Sequence[HistoryItem]:
        return self._turn.history

    @property
    def instructions(self) -> str:
        return self._turn.instructions

    @property
    def tools(self) -> Sequence[ToolSpec]:
        return self._turn.tools

    async def call_tool(self, name: str, arguments: str, /) -> str:
        self._calls += 1
        self._wind()
        try:
            return await self._turn.call_tool(name, arguments)
        finally:
            self._calls -= 1
            self._wind()

    # ── what becomes of it ──────────────────────────────────────────────────────────────────

    async def next(self, limit: float | None) -> str | None:
        """The next piece within so many seconds, or `None` at the end; raises `_Broke`."""
        self._limit = limit
        try:
            async with asyncio.timeout(None) as self._clock:
                self._wind()
                piece = await self._pieces.get()
        except TimeoutError as error:
            reason = f"no word within {0 if limit is None else limit * 1000:g} ms"
            raise _Broke(reason, ProviderError(f"the agent gave {reason}", op="agent")) from error
        finally:
            self._clock = None
        if isinstance(piece, Exception):
            raise _Broke(f"it failed: {type(piece).__name__}", piece)
        return piece

    def cancel(self) -> None:
        """It is not wanted any more, and not waited for yet."""
        self._task.cancel()

    async def stop(self) -> None:
        """Cancel what still works, and wait for that within a bound."""
        for _ in range(2):
            if self._task.done():
                return
            self.cancel()
            await asyncio.wait([self._task], timeout=STOP_SECONDS)
        if not self._task.done():
            log.error("an agent goes on working: it swallows its cancellation")

    async def _work(self) -> None:
        try:
            pieces = self._agent.respond(self)
            try:
                async for piece in pieces:
                    if piece:
                        await self._pieces.put(piece)
            finally:
                if isinstance(pieces, AsyncGenerator):
                    await pieces.aclose()
        except asyncio.CancelledError:
            if (me := asyncio.current_task()) is not None and me.cancelling():
                raise
            error = ProviderError("the agent was cancelled from inside", op="agent")
            await self._pieces.put(error)
        except Exception as error:
            log.error("an agent failed: %s", where(error))
            await self._pieces.put(error)
        else:
            await self._pieces.put(None)

    def _wind(self) -> None:
        """Let the time run from now, or stand still while a tool runs."""
        if self._clock is None:
            return
        is_free = self._limit is None or self._calls
        self._clock.reschedule(None if is_free else _now() + (self._limit or 0))


class _News:
    """Leaves out what an agent says that was said already, if it begins with all of it."""

    def __init__(self, said: str) -> None:
        self._said = said
        self._words = _WORD.findall(said.lower())
        self._text = ""
        self._is_new = not self._words

    def of(self, text: str) -> str:
        """What of it is to be said; while it is not known whether it is new, nothing."""
        if self._is_new:
            return text
        self._text += text
        heard = list(_WORD.finditer(self._text))
        for found, word in zip(heard, self._words, strict=False):
            if found[0].lower() != word:
                return self._join(self._text)
        if len(heard) <= len(self._words):
            return ""
        return self._join(self._text[heard[len(self._words)].start() :])

    def _join(self, text: str) -> str:
        self._is_new = True
        is_apart = self._said[-1:].isspace() or text[:1].isspace()
        return text if is_apart else f" {text}"


def _name(agent: object) -> str:
    return getattr(agent, "name", None) or getattr(agent, "__name__", None) or type(agent).__name__


def _now() -> float:
    return asyncio.get_running_loop().time()
