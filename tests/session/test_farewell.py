"""A service that ends the conversation on purpose is heard to its end, and not called again."""

import asyncio

import pytest

from beluga_voice.events import (
    AgentResponseEnded,
    ConversationEnded,
    LinkClosed,
    LinkReady,
    Reconnecting,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    SessionEnded,
    SessionState,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import speech
from beluga_voice.testing.trace import trace

SERVER_TURNS = Capabilities(turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True)
ONE = ResponseId("r1")


def speak(link, text, *, is_done=True):
    """A response, faster than real time."""
    link.emit(LinkReady(), ResponseStarted(response_id=ONE))
    for index, word in enumerate(speech(text, rate=24000)):
        link.emit(
            ResponseText(response_id=ONE, delta=f" {word.text}" if index else word.text),
            ResponseAudio(response_id=ONE, pcm=b"".join(word.frames)),
        )
    if is_done:
        link.emit(ResponseDone(response_id=ONE, status=ResponseStatus.COMPLETED))


def play(script, *, interrupts_at=None):
    """A call in which the service does what the script says."""

    async def scene():
        caller = ScriptedCaller()
        session = Session(ScriptedProvider(script, capabilities=SERVER_TURNS), line=caller)
        seen = trace(session)
        loop = asyncio.get_running_loop()
        async with session, caller.on(session):
            if interrupts_at is not None:
                loop.call_at(interrupts_at, session.interrupt)
            await session.wait_closed()
            return seen, caller.heard, loop.time(), session.state

    return simulate(scene)


@pytest.mark.parametrize(
    ("is_done", "closes"),
    [(True, False), (True, True), (False, True)],
    ids=["stays", "closes", "breaks off"],
)
def test_the_last_words_are_heard(is_done, closes):
    """What was said before the end sounds to its end, whether or not the link goes meanwhile."""

    async def script(link):
        await asyncio.sleep(1)
        speak(link, "thank you and good bye", is_done=is_done)
        link.emit(ConversationEnded(reason="the agent hung up"))
        if closes:
            link.emit(LinkClosed(is_clean=True))

    seen, heard, at, state = play(script)
    assert heard == "thank you and good bye"
    assert [(one.reason, one.message) for one in seen.of(SessionEnded)] == [
        ("ended", "the agent hung up")
    ]
    assert at == 2.0
    assert state is SessionState.DISCONNECTED
    assert seen.of(Reconnecting) == []
    assert [one.outcome for one in seen.of(AgentResponseEnded)] == [ResponseOutcome.HEARD]


def test_an_end_in_silence_is_an_end_at_once():
    """With nothing to be heard, the session is over when it is said so."""

    async def script(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(ConversationEnded(reason="over"), LinkClosed(is_clean=True))

    seen, _, at, _ = play(script)
    assert at == 1.0
    assert [one.reason for one in seen.of(SessionEnded)] == ["ended"]


def test_who_stops_the_last_words_ends_the_call():
    """An interruption of the farewell leaves nothing to wait for."""

    async def script(link):
        await asyncio.sleep(1)
        speak(link, "thank you and good bye")
        link.emit(ConversationEnded(reason="over"), LinkClosed(is_clean=True))

    seen, heard, at, _ = play(script, interrupts_at=1.4)
    assert (heard, at) == ("thank you", 1.4)
    assert [one.reason for one in seen.of(SessionEnded)] == ["ended"]


@pytest.mark.parametrize(
    ("words", "end"), [("", 11.0), ("thank you", 7.4)], ids=["nothing", "some"]
)
def test_what_never_comes_is_not_waited_for(words, end):
    """A response that the service began, and never ends, does not keep the call for ever."""

    async def script(link):
        await asyncio.sleep(1)
        if words:
            speak(link, words, is_done=False)
        else:
            link.emit(LinkReady(), ResponseStarted(response_id=ONE))
        link.emit(ConversationEnded(reason="over"))

    seen, heard, at, _ = play(script)
    assert heard == words
    assert [one.reason for one in seen.of(SessionEnded)] == ["ended"]
    # Nothing: ten seconds after the farewell. Some: the six after which a response is given up.
    assert at == end
