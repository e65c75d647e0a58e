"""External reasoning by delegation: a duplex model hands work over, and speaks of the answer."""

import asyncio

from beluga_voice.events import AnswerDelegation, DelegationId, DelegationRequested, S2sEvent
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.reasoned.mind import AgentFailed, Mind, Thought
from beluga_voice.providers.s2s.reasoned.passing import PassingLink
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.transports.feed import Feed

FAILED = "This did not work. Tell the person so, and ask them to try again."
NOTHING = "There is nothing to say to that."
SUPERSEDED = "A newer request has taken the place of this one."


class DelegatingLink(PassingLink):
    """A newer delegation takes the place of an older one."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(inner, mind, feed, tasks)
        self._works: dict[DelegationId, asyncio.Task[None]] = {}

    def _pass(self, event: S2sEvent) -> None:
        if isinstance(event, DelegationRequested):
            self._delegated(event.delegation_id)
        else:
            self._feed.put(event)

    def _delegated(self, delegation_id: DelegationId) -> None:
        if delegation_id in self._works:
            return
        self._take_back()
        name = f"beluga-voice delegation {delegation_id}"
        self._works[delegation_id] = self._tasks.create_task(self._work(delegation_id), name=name)

    def _drop_work(self) -> bool:
        works, self._works = self._works, {}
        for delegation_id, task in works.items():
            task.cancel()
            self._answer(delegation_id, SUPERSEDED, is_spoken=False, is_final=True)
        return bool(works)

    async def _work(self, delegation_id: DelegationId) -> None:
        """Let the agent think, and tell the service sentence by sentence."""
        sentences = Sentences()
        last: str | None = None
        text = await self._words_of_person()
        try:
            async for piece in self._mind.think(Thought(), text, is_remembered=False):
                for sentence in sentences.feed(piece):
                    if last is not None:
                        self._answer(delegation_id, last, is_final=False)
                    last = sentence
            for sentence in sentences.flush():
                if last is not None:
                    self._answer(delegation_id, last, is_final=False)
                last = sentence
            if last is None:
                self._answer(delegation_id, NOTHING, is_spoken=False, is_final=True)
            else:
                self._answer(delegation_id, last, is_final=True)
        except AgentFailed:
            self._answer(delegation_id, FAILED, is_final=True)
        self._works.pop(delegation_id, None)

    def _answer(
        self, delegation_id: DelegationId, text: str, *, is_final: bool, is_spoken: bool = True
    ) -> None:
        if is_spoken:
            self._question = ""  # it is being answered
            self._asked.append(text)
        self._inner.send(
            AnswerDelegation(
                delegation_id=delegation_id, text=text, is_spoken=is_spoken, is_final=is_final
            )
        )

    def _stop(self, reason: str) -> None:
        for task in self._works.values():
            task.cancel()
