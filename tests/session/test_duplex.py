"""A model that hears while it speaks owns its silence: nothing is cut for it, or asked of it."""

import asyncio

from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    DeadAir,
    ErrorOccurred,
    InputTranscript,
    Interrupt,
    LinkReady,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Rung,
    SessionState,
    TurnMeasured,
    UserSpeechEnded,
    UserSpeechStarted,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from beluga_voice.testing.speech import WORD_MS, speech
from beluga_voice.testing.trace import trace

DUPLEX = Capabilities(turn_owners=(TurnOwner.DUPLEX,), needs_continuous_input=True)
ONE = ResponseId("r1")


async def speak(link, text):
    """Speak like a model does that knows only real time: each word as long as it sounds."""
    link.emit(LinkReady(), ResponseStarted(response_id=ONE))
    for word in speech(text, rate=24000):
        link.emit(
            ResponseText(response_id=ONE, delta=word.text + " "),
            ResponseAudio(response_id=ONE, pcm=b"".join(word.frames)),
        )
        await asyncio.sleep(WORD_MS / 1000)
    link.emit(ResponseDone(response_id=ONE, status=ResponseStatus.COMPLETED))


def play(script, scene, capabilities=DUPLEX):
    """Run a scene over a scripted duplex model."""

    async def run():
        caller = ScriptedCaller()
        provider = ScriptedProvider(script, capabilities=capabilities)
        session = Session(provider, line=caller, detector=ScriptedVad())
        seen = trace(session)
        async with session, caller.on(session):
            await scene(session, caller)
        provider.finish()
        return seen, caller.heard, provider

    return simulate(run)


def test_voice_over_a_response_cuts_nothing():
    """The person speaks over the model, and all of its words are heard; the words count."""

    async def script(link):
        await asyncio.sleep(0.5)
        await speak(link, "one two three four five six seven eight")

    async def scene(session, caller):
        await asyncio.sleep(0.9)
        await caller.say("yes go on please")
        await asyncio.sleep(3)

    seen, heard, _ = play(script, scene)
    assert heard == "one two three four five six seven eight"
    assert seen.of(BargedIn) == []
    assert [one.outcome for one in seen.of(AgentResponseEnded)] == [ResponseOutcome.HEARD]
    assert len(seen.of(UserSpeechStarted)) == 1
    assert [one.was_ignored for one in seen.of(UserSpeechEnded)] == [False]


def test_silence_after_the_person_is_the_models_right():
    """An utterance that the model leaves unanswered ends in idleness, without error or tone."""

    async def script(link):
        link.emit(LinkReady())

    async def scene(session, caller):
        await caller.say("hm")
        await asyncio.sleep(20)
        assert session.state is SessionState.IDLE

    seen, heard, provider = play(script, scene)
    assert seen.of(ErrorOccurred) == []
    assert heard == ""
    assert list(provider.links[0].commands) == []


def test_one_that_can_be_asked_is_not():
    """Where a response can be requested, too, silence is the model's right, if it began nothing."""

    async def script(link):
        link.emit(LinkReady())

    async def scene(session, caller):
        await caller.say("hello")
        await asyncio.sleep(20)
        assert session.state is SessionState.IDLE

    capabilities = Capabilities(turn_owners=(TurnOwner.DUPLEX,), can_request_response=True)
    seen, _, provider = play(script, scene, capabilities)
    assert seen.of(ErrorOccurred) == []
    assert list(provider.links[0].commands) == []


def test_an_answer_is_measured_from_the_end_of_the_voice():
    """The time of a duplex answer counts from where our ears heard the person end."""

    async def script(link):
        link.emit(LinkReady())
        await asyncio.sleep(1.5)
        await speak(link, "hello")

    async def scene(session, caller):
        await caller.say("hello")
        await asyncio.sleep(3)

    seen, _, _ = play(script, scene)
    (measured,) = seen.of(TurnMeasured)
    assert measured.total_ms == 1500 - 180
    assert measured.endpointing_ms == 600


def test_an_application_can_still_stop_it():
    """`interrupt` makes the line silent at once and tells the model what was heard."""

    async def script(link):
        await asyncio.sleep(0.5)
        task = asyncio.create_task(speak(link, "one two three four five six"))
        cut = await link.expect(Interrupt)
        task.cancel()
        assert cut.heard_text == "one two"

    async def scene(session, caller):
        await asyncio.sleep(1.0)
        session.interrupt()
        await asyncio.sleep(2)
        assert session.state is SessionState.IDLE

    seen, heard, _ = play(script, scene)
    assert heard == "one two"
    assert [one.heard_text for one in seen.of(AgentResponseEnded)] == ["one two"]


def test_words_that_broke_off_are_no_choice():
    """A model that tells some of the words, and then nothing, has not chosen to be silent."""
    heard_so_far = InputTranscript(utterance_id=UtteranceId("u1"), text="what is", is_final=False)

    async def script(link):
        link.emit(LinkReady())
        await asyncio.sleep(0.4)
        link.emit(heard_so_far)

    async def scene(session, caller):
        await caller.say("what is the time")
        await asyncio.sleep(8)
        assert session.state is not SessionState.IDLE

    seen, _, _ = play(script, scene)
    assert [one.rung for one in seen.of(DeadAir)][:1] == [Rung.SOUND]
