"""The handles of what the application wants said."""

import asyncio
from collections.abc import Callable

from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    ResponseId,
    ResponseOutcome,
    SayId,
    SessionEvent,
)


class Saying:
    """Words that the agent was asked to say: wait until they were heard, or take them back."""

    def __init__(self, say_id: SayId, text: str, cancel: Callable[["Saying"], None]) -> None:
        self.id = say_id
        self.text = text
        self.response_id: ResponseId | None = None
        """The response that speaks them, once it has begun."""
        self.outcome: ResponseOutcome | None = None
        """What became of them; `None` while that is open."""
        self.heard_text = ""
        """What the person heard of them, once that is known."""
        self._cancel = cancel
        self._over = asyncio.Event()

    async def wait(self) -> ResponseOutcome:
        """Wait until they sound no more; says whether they were heard, cut or failed."""
        await self._over.wait()
        assert self.outcome is not None
        return self.outcome

    def cancel(self) -> None:
        """Do not say them, or say no more of them."""
        if self.outcome is None:
            self._cancel(self)

    def settle(self, outcome: ResponseOutcome, heard_text: str = "") -> None:
        """For the session: this is what became of them."""
        if self.outcome is None:
            self.outcome, self.heard_text = outcome, heard_text
            self._over.set()


class Handles:
    """The handles of one session whose words are not over."""

    def __init__(self) -> None:
        self._open: dict[SayId, Saying] = {}
        self._spoken: dict[ResponseId, Saying] = {}
        self._count = 0

    def make(self, text: str, cancel: Callable[[Saying], None]) -> Saying:
        """A handle for these words."""
        self._count += 1
        saying = Saying(SayId(f"say-{self._count}"), text, cancel)
        self._open[saying.id] = saying
        return saying

    def note(self, event: SessionEvent) -> None:
        """What happened may be about one of them."""
        if isinstance(event, AgentResponseStarted) and event.say_id is not None:
            saying = self._open.pop(event.say_id, None)
            if saying is not None:
                saying.response_id = event.response_id
                self._spoken[event.response_id] = saying
        elif isinstance(event, AgentResponseEnded):
            saying = self._spoken.pop(event.response_id, None)
            if saying is not None:
                saying.settle(event.outcome, event.heard_text)

    def again(self, say_id: SayId) -> None:
        """Its response was cut before a sound of it was heard: it will be said later."""
        for response_id, saying in self._spoken.items():
            if saying.id == say_id:
                del self._spoken[response_id]
                saying.response_id = None
                self._open[say_id] = saying
                break

    def drop(self, saying: Saying) -> None:
        """It was taken back before it began."""
        if self._open.pop(saying.id, None) is not None:
            saying.settle(ResponseOutcome.CUT)

    def close(self) -> None:
        """The session is over: so is what was not said."""
        for saying in (*self._open.values(), *self._spoken.values()):
            saying.settle(ResponseOutcome.CUT)
        self._open.clear()
        self._spoken.clear()
