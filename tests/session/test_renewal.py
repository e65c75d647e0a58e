"""A connection that will end is replaced in a quiet moment, and nobody hears anything of it."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.renewal import RenewalSettings
from beluga_voice.errors import Unreachable
from beluga_voice.events import (
    AnswerTool,
    GoingAway,
    InputCommitted,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Reconnecting,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ResumptionChanged,
    SeedHistory,
    SendText,
    ServiceRenewed,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    ToolCallId,
    Update,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import speech, words_in
from beluga_voice.testing.trace import trace

LIMIT_SECONDS = 480.0


def able(**more):
    """A service that owns its turns and ends its connections after eight minutes."""
    return Capabilities(
        turn_owners=(TurnOwner.PROVIDER,),
        has_speech_events=True,
        has_tools=True,
        has_text_input=True,
        can_seed_history=True,
        can_cancel=True,
        max_connection_seconds=LIMIT_SECONDS,
        **more,
    )


def renewals(seen):
    """When connections were replaced, in milliseconds."""
    return [seen.at_ms(ServiceRenewed, index) for index in range(len(seen.of(ServiceRenewed)))]


def speak(link, name, text):
    """A response, faster than real time."""
    response_id = ResponseId(name)
    link.emit(ResponseStarted(response_id=response_id))
    for index, word in enumerate(speech(text, rate=24000)):
        link.emit(
            ResponseText(response_id=response_id, delta=f" {word.text}" if index else word.text),
            ResponseAudio(response_id=response_id, pcm=b"".join(word.frames)),
        )
    link.emit(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))


async def quiet(link):
    """A service that has nothing to say."""
    link.emit(LinkReady())


def play(*scripts, scene, capabilities=None, tools=(), connect=None):
    """A scene over scripted connections."""

    async def run():
        caller = ScriptedCaller()
        provider = ScriptedProvider(*scripts, capabilities=capabilities or able())
        if connect is not None:
            connect(provider)
        settings = EngineSettings(renewal=RenewalSettings(lead_seconds=60))
        session = Session(provider, line=caller, tools=tools, settings=settings)
        seen = trace(session)
        async with session, caller.on(session):
            await scene(session, caller)
        provider.finish()
        return seen, caller.heard, provider

    return simulate(run)


def test_a_connection_is_replaced_before_its_service_ends_it():
    """A minute before the limit another one takes its place; so it goes on for an hour."""

    async def scene(session, caller):
        await asyncio.sleep(3600)

    seen, _, _ = play(*[quiet] * 9, scene=scene)
    assert renewals(seen) == [420_000.0 * n for n in range(1, 9)]
    assert {one.reason for one in seen.of(ServiceRenewed)} == {"age"}
    assert seen.of(Reconnecting) == []


def test_a_warning_is_heeded_at_once():
    """A service that says that it goes away is left in the same moment, if that is quiet."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(5)
        link.emit(GoingAway(time_left_seconds=30))

    async def scene(session, caller):
        await asyncio.sleep(10)

    seen, _, _ = play(leaving, quiet, scene=scene)
    assert renewals(seen) == [5000.0]
    assert [one.reason for one in seen.of(ServiceRenewed)] == ["going_away"]


def test_a_response_is_heard_to_its_end_first():
    """Nothing is replaced while the agent speaks, and the new connection knows what was said."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        speak(link, "r1", "one two three four five")
        link.emit(GoingAway(time_left_seconds=30))

    async def scene(session, caller):
        await asyncio.sleep(5)

    seen, heard, provider = play(leaving, quiet, scene=scene)
    assert heard == "one two three four five"
    assert renewals(seen) == [2000.0]
    assert [one.text for one in provider.options[1].history] == ["one two three four five"]


def test_a_tool_is_waited_for():
    """A call that was asked for over one connection is answered over it."""

    async def slow() -> str:
        """Be slow."""
        await asyncio.sleep(3)
        return "done"

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(SpeechStarted(), SpeechStopped())
        link.emit(ToolCalled(call_id=ToolCallId("1"), name="slow", arguments="{}"))
        link.emit(GoingAway(time_left_seconds=30))
        await link.expect(AnswerTool, output="done")
        await asyncio.sleep(0.5)
        speak(link, "r1", "it is done")

    async def scene(session, caller):
        await asyncio.sleep(8)

    seen, heard, _ = play(leaving, quiet, scene=scene, tools=[slow])
    assert heard == "it is done"
    assert renewals(seen) == [4500.0 + 600]


@pytest.mark.parametrize("can_add", [True, False])
def test_what_is_said_while_the_other_connection_is_opened_is_not_lost(can_add):
    """It is added where the service takes that; else that connection is given up for another."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=30))
        await link.expect(SendText, text="wait")
        speak(link, "r1", "yes")

    async def taking_over(link):
        link.emit(LinkReady())
        if can_add:
            added = await link.expect(SeedHistory)
            assert [one.text for one in added.items] == ["wait", "yes"]

    def slowly(provider):
        inner = provider.connect

        @asynccontextmanager
        async def connect(options):
            if provider.options:
                await asyncio.sleep(0.5)
            async with inner(options) as link:
                yield link

        provider.connect = connect

    async def scene(session, caller):
        await asyncio.sleep(1.2)
        session.send_text("wait")
        await asyncio.sleep(20)

    scripts = [leaving, taking_over] if can_add else [leaving, quiet, quiet]
    seen, heard, provider = play(
        *scripts, scene=scene, capabilities=able(can_add_history=can_add), connect=slowly
    )
    assert heard == "yes"
    assert len(seen.of(ServiceRenewed)) == 1
    if not can_add:
        assert [one.text for one in provider.options[2].history] == ["wait", "yes"]
    assert seen.of(Reconnecting) == []


def test_sound_of_the_person_reaches_the_present_connection_only():
    """What is said after the replacement is heard by the new connection, every word of it."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=30))

    async def scene(session, caller):
        await asyncio.sleep(2)
        await caller.say("do you hear me")
        await asyncio.sleep(1)

    _, _, provider = play(leaving, quiet, scene=scene)
    assert words_in(provider.links[0].sound) == []
    assert words_in(provider.links[1].sound) == ["do", "you", "hear", "me"]


def test_what_the_other_connection_says_early_counts_later():
    """A handle that comes while it stands by is used for the connection after it."""

    async def leaving(link):
        link.emit(LinkReady(), ResumptionChanged(handle="first"))
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=30))

    async def taking_over(link):
        link.emit(LinkReady(), ResumptionChanged(handle="second"))
        await asyncio.sleep(5)
        link.emit(LinkClosed(is_clean=False, reason="gone"))

    async def scene(session, caller):
        await asyncio.sleep(10)

    _, _, provider = play(leaving, taking_over, quiet, scene=scene)
    assert [one.resume for one in provider.options] == [None, "first", "second"]


def test_a_connection_that_cannot_be_replaced_is_lost_like_any_other():
    """Attempts go on every five seconds; when the service ends first, the session reconnects."""
    attempts = []

    def refuse_at_first(provider):
        inner = provider.connect

        def connect(options):
            attempts.append(asyncio.get_running_loop().time())
            if 1 < len(attempts) < 4:
                raise Unreachable("not now", op="connect")
            return inner(options)

        provider.connect = connect

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=8))
        await asyncio.sleep(8)
        link.emit(LinkClosed(is_clean=True))

    async def scene(session, caller):
        await asyncio.sleep(20)

    seen, _, _ = play(leaving, quiet, scene=scene, connect=refuse_at_first)
    assert attempts[:3] == [0, 1, 6]
    assert len(seen.of(Reconnecting)) == 1
    assert seen.of(ServiceRenewed) == []


def test_an_interruption_makes_a_moment_quiet():
    """What the service was told of an interruption goes over the connection it belongs to."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        speak(link, "r1", "one two three four five six")
        link.emit(GoingAway(time_left_seconds=60))
        cut = await link.expect(Interrupt)
        assert cut.heard_text == "one two three"

    async def scene(session, caller):
        await asyncio.sleep(1.6)
        session.interrupt()
        await asyncio.sleep(10)

    seen, heard, _ = play(leaving, quiet, scene=scene)
    assert heard == "one two three"
    assert renewals(seen) == [1600.0]


def test_leaving_while_the_other_connection_is_opened_leaves_nothing():
    """A session that ends with a second link in the making closes both."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=30))

    def never(provider):
        inner = provider.connect

        @asynccontextmanager
        async def connect(options):
            if provider.options:
                await asyncio.Event().wait()
            async with inner(options) as link:
                yield link

        provider.connect = connect

    async def scene(session, caller):
        await asyncio.sleep(3)

    seen, _, _ = play(leaving, scene=scene, connect=never)
    assert seen.of(ServiceRenewed) == []


def test_a_voice_that_begins_at_that_moment_is_not_cut():
    """What was said before the first service noticed the voice is given to the second, too."""

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1.3)
        link.emit(GoingAway(time_left_seconds=30))

    async def scene(session, caller):
        await asyncio.sleep(1)
        await caller.say("please cancel my order")
        await asyncio.sleep(1)

    seen, _, provider = play(leaving, quiet, scene=scene)
    assert renewals(seen) == [1300.0]
    assert words_in(provider.links[1].sound) == ["please", "cancel", "my", "order"]


def test_settings_that_change_meanwhile_are_in_force_later():
    """A second connection that was asked for the old instructions is given up for another."""

    def slowly(provider):
        inner = provider.connect

        @asynccontextmanager
        async def connect(options):
            if provider.options:
                await asyncio.sleep(0.5)
            async with inner(options) as link:
                yield link

        provider.connect = connect

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(GoingAway(time_left_seconds=30))
        await link.expect(Update, instructions="Be rude.")

    async def scene(session, caller):
        await asyncio.sleep(1.2)
        session.update(instructions="Be rude.")
        await asyncio.sleep(10)

    mutable = frozenset({"instructions"})
    seen, _, provider = play(
        leaving, quiet, scene=scene, capabilities=able(mutable=mutable), connect=slowly
    )
    assert renewals(seen) == [1200.0 + 5000 + 500]
    assert [one.instructions for one in provider.options] == ["", "Be rude."]


def test_words_that_are_still_to_come_are_waited_for():
    """An utterance whose transcript is late is not lost with the connection that has it."""
    one = UtteranceId("u1")

    async def leaving(link):
        link.emit(LinkReady())
        await asyncio.sleep(1)
        link.emit(SpeechStarted(), SpeechStopped(), InputCommitted(utterance_id=one))
        speak(link, "r1", "yes")
        link.emit(GoingAway(time_left_seconds=30))
        await asyncio.sleep(2)
        link.emit(InputTranscript(utterance_id=one, text="do you take cards", is_final=True))

    async def scene(session, caller):
        await asyncio.sleep(6)
        assert [item.text for item in session.history] == ["do you take cards", "yes"]

    seen, _, _ = play(leaving, quiet, scene=scene)
    assert renewals(seen) == [3000.0]


def test_a_provider_whose_own_task_fails_is_connected_to_again():
    """What goes wrong inside of a provider is a loss, and not a session without a service."""

    def fails(provider):
        inner = provider.connect

        @asynccontextmanager
        async def connect(options):
            async def fail():
                await asyncio.sleep(2)
                raise RuntimeError("inside")

            async with inner(options) as link, asyncio.TaskGroup() as tasks:
                if len(provider.links) == 1:
                    tasks.create_task(fail())
                yield link

        provider.connect = connect

    async def scene(session, caller):
        await asyncio.sleep(10)
        assert session.state is SessionState.IDLE

    seen, _, provider = play(quiet, quiet, scene=scene, connect=fails)
    assert len(seen.of(Reconnecting)) == 1
    assert len(provider.links) == 2
