"""A person who speaks test speech on a speech-to-speech link, and waits for answers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from beluga_voice.events import (
    EndUserTurn,
    Interrupt,
    ResponseId,
    S2sCommand,
    S2sEvent,
    StartUserTurn,
)
from beluga_voice.interfaces import (
    S2sLink,
    S2sOptions,
    SpeechToSpeech,
    TurnOwner,
    input_format_of,
    output_format_of,
)
from beluga_voice.testing.conformance.links import Party, watched
from beluga_voice.testing.conformance.microphone import Microphone
from beluga_voice.testing.conformance.record import Heard, Names, S2sRecord
from beluga_voice.testing.conformance.report import ConformanceFailure, Maker, Peer, Rule
from beluga_voice.testing.speech import pcm_of, speech


class Conversation(Party[S2sCommand, S2sEvent]):
    """The person's side of one link."""

    def __init__(
        self,
        link: S2sLink,
        record: S2sRecord,
        *,
        rule: Rule,
        owner: TurnOwner,
        microphone: Microphone,
    ) -> None:
        super().__init__(link, record, rule)
        self.record = record
        self.owner = owner
        self._microphone = microphone
        self._answered = 0

    # ── speaking ────────────────────────────────────────────────────────────────────────────

    async def say(self, text: str, *, respond: bool = True) -> None:
        """Take a turn, in the time that it takes."""
        is_ours = self.owner is TurnOwner.FRAMEWORK
        if is_ours:
            self.send(StartUserTurn())
        await self._microphone.say(text)
        if is_ours:
            self.send(EndUserTurn(respond=respond))

    def interrupt(self, response_id: ResponseId, heard: str) -> None:
        """Stop a response of which those words were heard."""
        rate = self.record.output.rate
        samples = len(pcm_of(speech(heard, rate=rate))) // 2
        self.send(Interrupt(response_id=response_id, heard_samples=samples, heard_text=heard))

    # ── listening ───────────────────────────────────────────────────────────────────────────

    async def begun(self, words: int = 0) -> Heard:
        """The next response, once so many words of it are there."""
        await self.until(lambda: len(self.record.responses) > self._answered, "a response")
        heard = list(self.record.responses.values())[self._answered]
        await self.until(
            lambda: len(heard.words.split()) >= words, f"sound of {heard.id!r} with {words} words"
        )
        self._answered += 1
        return heard

    async def answer(self) -> Heard:
        """The next response that is done and has words; others are let pass."""
        while True:
            heard = await self.begun()
            await self.until(lambda: heard.status is not None, f"the end of {heard.id!r}")  # noqa: B023, it is waited for
            if heard.pcm:
                return heard

    async def hears(self, text: str) -> Heard:
        """Wait for a response that says that, and with others that said nothing before it."""
        if self.owner is TurnOwner.DUPLEX:
            await self.until(
                lambda: any(text in one.words for one in self._unanswered()), f"{text!r} in sound"
            )
            heard = next(one for one in self._unanswered() if text in one.words)
            self._answered = len(self.record.responses)
            return heard
        heard = await self.answer()
        if heard.words != text:
            seen = f"a response whose sound says {heard.words!r}, where the service said {text!r}"
            raise self.record.failure or ConformanceFailure(self._rule, seen)
        return heard

    def _unanswered(self) -> list[Heard]:
        return list(self.record.responses.values())[self._answered :]


@dataclass(frozen=True, slots=True)
class Stage:
    """How conversations of one check are held."""

    make: Maker[SpeechToSpeech]
    rule: Rule
    owner: TurnOwner

    @asynccontextmanager
    async def conversation(
        self, peer: Peer | None = None, options: S2sOptions | None = None
    ) -> AsyncGenerator[Conversation]:
        """A person on a link to a provider for that peer."""
        async with (
            self.make(peer or Peer()) as provider,
            self.talking(provider, options) as conversation,
        ):
            yield conversation

    @asynccontextmanager
    async def talking(
        self,
        provider: SpeechToSpeech,
        options: S2sOptions | None = None,
        *,
        names: Names | None = None,
        is_iterated: bool = False,
    ) -> AsyncGenerator[Conversation]:
        """A person on a new link; on leaving, the promises of all links are looked at."""
        options = options or S2sOptions(turn_owner=self.owner, instructions="Be brief.")
        capabilities = provider.capabilities
        record = S2sRecord(output_format_of(capabilities, options.output_format), names)
        microphone = Microphone(
            input_format_of(capabilities, options.input_format),
            is_continuous=capabilities.needs_continuous_input
            or self.owner is not TurnOwner.FRAMEWORK,
        )
        async with watched(provider, options, record, is_iterated=is_iterated) as link:
            talk = Conversation(
                link, record, rule=self.rule, owner=self.owner, microphone=microphone
            )
            async with microphone.on(talk.send, record):
                yield talk
