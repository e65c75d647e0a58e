"""External reasoning by delegation: a duplex model hands work over, and speaks of the answer."""

import asyncio
from functools import partial

from beluga_voice.events import (
    AnswerDelegation,
    DelegationId,
    DelegationRequested,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseText,
    S2sEvent,
)
from beluga_voice.interfaces import S2sLink
from beluga_voice.providers.s2s.conversation import Thought
from beluga_voice.providers.s2s.reasoned.mind import AgentFailed, Mind
from beluga_voice.providers.s2s.reasoned.passing import PassingLink
from beluga_voice.providers.s2s.sentences import Sentences
from beluga_voice.transports.feed import Feed

FAILED = "This did not work. Tell the person so, and ask them to try again."
NOTHING = "There is nothing to say to that."
SUPERSEDED = "A newer request has taken the place of this one."


class DelegatingLink(PassingLink[DelegationId]):
    """A newer delegation takes the place of an older one."""

    def __init__(
        self, inner: S2sLink, mind: Mind, feed: Feed[S2sEvent], tasks: asyncio.TaskGroup
    ) -> None:
        super().__init__(inner, mind, feed, tasks, told=SUPERSEDED)

    def _pass(self, event: S2sEvent) -> None:
        match event:
            case DelegationRequested():
                work = partial(self._work, event.delegation_id)
                self._begin(event.delegation_id, "delegation", work)
                # It may speak of the new request at once, as people do: that is no reaction.
                self._reactions.forget()
            case ResponseStarted() if self._reactions.is_suspect(event.response_id):
                self._held[event.response_id] = event
            case ResponseAudio() | ResponseText() | ResponseDone():
                self._announce(event.response_id)
                self._feed.put(event)
            case _:
                self._feed.put(event)

    def _supersede(self, key: DelegationId) -> None:
        self._inner.send(AnswerDelegation(delegation_id=key, text=SUPERSEDED, is_spoken=False))

    async def _work(self, key: DelegationId, thought: Thought) -> None:
        """Let the agent think, and tell the service sentence by sentence.

        The last one waits, since it is told as the last, unless a tool is called meanwhile.
        """
        sentences = Sentences()
        last: list[str] = []

        def give(found: list[str]) -> None:
            for sentence in found:
                if last:
                    self._answer(key, last.pop(), is_final=False)
                last.append(sentence)

        def give_so_far() -> None:
            give(sentences.flush())
            if last:
                self._answer(key, last.pop(), is_final=False)

        thought.on_call = give_so_far
        text = await self._words_of_person()
        try:
            async for piece in self._mind.think(thought, text, is_remembered=False):
                give(sentences.feed(piece))
            give(sentences.flush())
            if last:
                self._answer(key, last.pop(), is_final=True)
            else:
                self._answer(key, NOTHING, is_spoken=False, is_final=True)
        except AgentFailed:
            self._answer(key, FAILED, is_final=True)

    def _answer(
        self, delegation_id: DelegationId, text: str, *, is_final: bool, is_spoken: bool = True
    ) -> None:
        if delegation_id not in self._works:
            return  # it was stopped, and the agent did not mind
        if is_spoken:
            self._question = ""  # it is being answered
            self._asked.append(text)
        self._inner.send(
            AnswerDelegation(
                delegation_id=delegation_id, text=text, is_spoken=is_spoken, is_final=is_final
            )
        )
