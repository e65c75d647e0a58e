"""Recognisers that fail without saying so: who finds it out, and after how long.

`docs/how-to/speech-services.md` has the same times as a table.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from beluga_voice.events import (
    ErrorCategory,
    FinishUtterance,
    LinkClosed,
    SendAudio,
    ServiceFailed,
    SttEvent,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.providers.mute import ELSEWHERE
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.speech import speech
from silent.silent_rows import STT, SttFault

FIRST, SECOND = "one two three", "four five six"
MONOLOGUE = "one two three four five six seven eight nine " * 17
SAID = [("first", FIRST), ("second", SECOND)]


@dataclass
class Heard:
    """What a link told, with times in ms since the sound began."""

    began: float
    events: list[SttEvent] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def __call__(self, event: SttEvent) -> None:
        self.events.append(event)
        self.times.append(round(running_simulation().time() * 1000 - self.began, 3))

    def of(self, kind: type[Any]) -> list[Any]:
        return [one for one in self.events if isinstance(one, kind)]

    @property
    def finals(self) -> list[tuple[str | None, str]]:
        return [(one.utterance_id, one.text) for one in self.of(Transcript) if one.is_final]

    @property
    def failure(self) -> tuple[ServiceFailed, float]:
        """The only one there is, and when it came; with it the link ends, at once."""
        (failed,) = self.of(ServiceFailed)
        assert self.events[-1] == LinkClosed(is_clean=False, reason=failed.message)
        at = self.times[self.events.index(failed)]
        assert self.times[-1] == at
        return failed, at


async def talk(provider: Any, *, first: str = FIRST) -> Heard:
    """Say two utterances in the time they take, one right after the other, and wait."""
    rate = provider.capabilities.input_formats[0].rate
    async with provider.connect(SttOptions()) as link:
        heard = Heard(began=running_simulation().time() * 1000)
        link.attach(heard)
        for name, text in (("first", first), ("second", SECOND)):
            for word in speech(text, rate=rate):
                for frame in word.frames:
                    link.send(SendAudio(pcm=frame))
                    await asyncio.sleep(0.02)
            link.send(FinishUtterance(utterance_id=UtteranceId(name)))
        await asyncio.sleep(30)
    return heard


def told(row, fault, *, is_guarded=False, first=FIRST):
    """What comes of a talk to a service with that fault."""

    async def scene():
        async with row(fault) as provider:
            return await talk(Guarded(provider) if is_guarded else provider, first=first)

    return simulate(scene)


@pytest.mark.parametrize("is_guarded", [False, True], ids=["alone", "guarded"])
@pytest.mark.parametrize("fault", [None, SttFault.FINALS_TWICE, SttFault.FINALS_LATE])
@pytest.mark.parametrize("name", STT)
def test_finals_that_come_twice_or_late_are_harmless(name, fault, is_guarded):
    """Each utterance has one final transcript, of its own words, and no word of the other."""
    heard = told(STT[name], fault, is_guarded=is_guarded)
    assert heard.finals == SAID
    assert heard.of(ServiceFailed) == []
    for one in heard.of(Transcript):
        assert FIRST.startswith(one.text) or SECOND.startswith(one.text)


NEVER_FINAL = {
    "deepgram nova": (3000, "never that they are final", SAID[:1]),
    "deepgram flux": (3000, "never that they are final", SAID[:1]),
    # It settles with what is known for as long as a turn may take to end.
    "cartesia turns": (10_600, "a turn does not end", SAID),
    "cartesia manual": (10_000, "finalize was not answered within 10 s", []),
    "elevenlabs": (10_000, "gave no final transcript in 10 s", []),
    "openai live": (10_000, "gave no final transcript in 10 s", []),
    "openai posted": (10_000, "gave no transcript in 10 s", []),
    "deepgram files": (10_000, "gave no transcript in 10 s", []),
    "elevenlabs files": (10_000, "gave no transcript in 10 s", []),
    "assemblyai": (10_000, "gave no final transcript in 10 s", []),
}
"""When it is found out after the first utterance ended, how it is named, and what is answered."""


@pytest.mark.parametrize("name", STT)
def test_words_that_never_become_final_are_found_out(name):
    """The link ends in time, with a reason and what to do; no words are made up."""
    after_ms, reason, answered = NEVER_FINAL[name]
    heard = told(STT[name], SttFault.NEVER_FINAL)
    failed, at = heard.failure
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert reason in failed.message
    assert failed.message.endswith(ELSEWHERE)
    assert at == 600 + after_ms
    assert heard.finals == answered


@pytest.mark.parametrize("name", [one for one in STT if not NEVER_FINAL[one][2]])
def test_a_guard_finds_words_that_never_become_final_sooner(name):
    """After `final_ms`, whatever the provider's own patience is."""
    failed, at = told(STT[name], SttFault.NEVER_FINAL, is_guarded=True).failure
    assert "no final transcript within 3000 ms" in failed.message
    assert at == 600 + 3000


QUIET = {
    # Quiet from 1 s on: 10 s later.
    "deepgram nova": (11_000, "says nothing to the sound"),
    "deepgram flux": (10_980, "says nothing to the sound"),
    "cartesia turns": (10_800, "there was voice for 10 s, and the service said nothing"),
    "assemblyai": (11_020, "says nothing to the sound"),
    # They are asked for a sign of life then, and have 10 s for it.
    "cartesia manual": (20_800, "finalize was not answered within 10 s"),
    "elevenlabs": (20_780, "gave no final transcript in 10 s"),
    "openai live": (20_980, "said nothing to a voice, nor in 10 s when asked to"),
    # Before the utterance is posted, there is nothing that it could say.
    "openai posted": (30_600 + 10_000, "gave no transcript in 10 s"),
    "deepgram files": (30_600 + 10_000, "gave no transcript in 10 s"),
    "elevenlabs files": (30_600 + 10_000, "gave no transcript in 10 s"),
}
"""When it is found out after the sound began, and how it is named."""


@pytest.mark.parametrize("name", STT)
def test_a_service_that_goes_quiet_while_sound_flows_is_found_out(name):
    """Half a minute of voice, and no word of it: the link ends in time, with a reason."""
    after_ms, reason = QUIET[name]
    heard = told(
        STT[name], SttFault.QUIET, first="one two three four five six seven eight nine " * 17
    )
    failed, at = heard.failure
    assert failed.category in (ErrorCategory.TIMEOUT, ErrorCategory.RETRYABLE)
    assert failed.is_fatal
    assert reason in failed.message
    assert failed.message.endswith(ELSEWHERE)
    assert at == after_ms
    assert heard.finals == []
