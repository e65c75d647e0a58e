"""Every service over sockets of this machine and in real time: one turn, and a conversation."""

import asyncio

import pytest

from beluga_voice import VoiceSession, s2s
from beluga_voice.events import AgentResponseEnded, Message, ResponseOutcome, Role, Usage
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.catalogue import EMULATORS, Plan, emulated
from beluga_voice.testing.emulators.speech import Pace, Speaks
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.speech import speech
from beluga_voice.testing.trace import Trace

ANSWERS = {
    "he is in": "so he is in",
    "count please": " ".join(["we do as he is so up am be no"] * 6),
    "stop it now if you can": "as you like",
}
COUNTS_LATER = {"elevenlabs", "openai_live"}
"""Paid by the minute, they tell at the end of the session what that was, or never."""
SECONDS = 90
"""More than a busy machine needs; nothing here waits for time."""


def answer(asked):
    return Speaks(ANSWERS.get(asked.text, "what did you say"))


class Talk:
    """What a person does, each when what it waits for has happened."""

    def __init__(self, caller, trace):
        self._caller = caller
        self._trace = trace

    async def says(self, text):
        await self._caller.say(text)

    async def hears(self, words):
        """So many words in all."""
        while len(self._caller.heard.split()) < words:
            await asyncio.sleep(0.02)

    async def hears_the_end(self, text):
        """These words, and that nothing more of them comes."""
        while not any(one.heard_text.strip() == text for one in self._ended):
            await asyncio.sleep(0.02)

    @property
    def _ended(self):
        return self._trace.of(AgentResponseEnded)


@pytest.mark.parametrize("name", sorted(EMULATORS["s2s"]))
def test_three_turns_with_an_interruption(name, monkeypatch):
    """The first and the last answer are heard whole; the second, no further than it was let."""
    first, second, last = ANSWERS
    trace = Trace()

    async def scene():
        plan = Plan(brain=answer, pace=Pace(thinking_ms=100, word_ms=200))
        async with emulated(name, plan) as service:
            for variable, value in service.environment.items():
                monkeypatch.setenv(variable, value)
            handle = s2s(name, model=service.model or None, endpoint=service.endpoint)
            able = handle.capabilities
            rate = able.input_formats[0].rate
            caller = ScriptedCaller(input_rate=rate, output_rate=able.output_formats[0].rate)
            session = VoiceSession(
                s2s=handle, line=caller, vad=lambda: ScriptedVad(rate=rate), observers=[trace]
            )
            talk = Talk(caller, trace)
            async with asyncio.timeout(SECONDS), session, caller.on(session):
                await talk.says(first)
                await talk.hears_the_end(ANSWERS[first])
                await talk.says(second)
                await talk.hears(len(ANSWERS[first].split()) + 3)
                await talk.says(last)
                await talk.hears_the_end(ANSWERS[last])
            return [one for one in session.history if isinstance(one, Message)]

    said = asyncio.run(scene())
    assert [one.text for one in said if one.role is Role.USER] == [first, second, last]
    heard = [one.text.strip() for one in said if one.role is Role.AGENT]
    assert (heard[0], heard[-1]) == (ANSWERS[first], ANSWERS[last])
    cut = heard[1]
    assert ANSWERS[second].startswith(cut)
    assert 3 <= len(cut.split()) < len(ANSWERS[second].split())
    ended = trace.of(AgentResponseEnded)
    assert ended[-1].outcome is ResponseOutcome.HEARD
    assert len({one.response_id for one in ended}) == len(ended)


@pytest.mark.parametrize("name", sorted(EMULATORS["s2s"]))
def test_one_turn_twice_with_what_was_said_before(name, monkeypatch):
    """A handle answers as often as it is asked, and nothing of the first is known to the second."""
    asked = []

    def remember(question):
        asked.append(question)
        return Speaks(ANSWERS["he is in"])

    async def scene():
        async with emulated(name, Plan(brain=remember, pace=Pace(thinking_ms=100))) as service:
            for variable, value in service.environment.items():
                monkeypatch.setenv(variable, value)
            handle = s2s(name, model=service.model or None, endpoint=service.endpoint)
            rate = handle.capabilities.input_formats[0].rate
            words = speech("he is in", rate=rate)
            sound = b"".join(frame for word in words for frame in word.frames)
            said = [
                Message(role=Role.USER, text="my name is ada"),
                Message(role=Role.AGENT, text="hello ada"),
            ]
            async with asyncio.timeout(SECONDS):
                return [
                    await handle.process(sound, context=said),
                    await handle.process(sound),
                ]

    for answered in asyncio.run(scene()):
        assert (answered.transcript, answered.text) == ("he is in", ANSWERS["he is in"])
        assert answered.is_complete
        assert answered.duration_ms >= len(ANSWERS["he is in"].split()) * 100
        assert name in COUNTS_LATER or answered.usage != Usage()
    known = [[getattr(one, "text", "") for one in question.history] for question in asked]
    assert ["my name is ada" in words for words in known] == [True, False]
