"""Speech-to-speech services that stand in for one another, and a cascade that does."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice import VoiceSession
from beluga_voice.audio.formats import pcm16
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    AgentResponseEnded,
    CreateResponse,
    LinkClosed,
    Message,
    Reconnected,
    ResponseOutcome,
    ResumptionChanged,
    Role,
    SeedHistory,
    SessionEnded,
)
from beluga_voice.interfaces import Capabilities, Resumption, S2sOptions, TurnOwner
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.providers.s2s.gemini_live import GeminiLive
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators import gemini_live as gemini
from beluga_voice.testing.emulators import openai_realtime as realtime
from beluga_voice.testing.emulators.speech import Faults, Pace, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import (
    ScriptedLink,
    ScriptedProvider,
    ScriptedStt,
    ScriptedTts,
    ScriptedVad,
)
from beluga_voice.testing.trace import Trace

LONG = "one two three four five six seven eight nine ten"


def speaks_on(asked):
    """Ten words, or what is left of them: what was heard is in the history."""
    last = [one for one in asked.history if isinstance(one, Message) and one.role is Role.AGENT]
    heard = last[-1].text if last else ""
    return Speaks(LONG[len(heard) :].strip() if LONG.startswith(heard) else LONG)


class Scene:
    """A call over OpenAI Realtime that is lost in mid-response, and over what comes after it."""

    def __init__(self, faults):
        self.openai = realtime.OpenAIRealtimeEmulator(
            speaks_on, pace=Pace(thinking_ms=100, word_ms=100), faults=[faults]
        )
        self.gemini = gemini.GeminiLiveEmulator(speaks_on, pace=Pace(thinking_ms=100, word_ms=100))
        self.switches = []
        self.trace = Trace()
        self.caller = ScriptedCaller(input_rate=24000)

    @asynccontextmanager
    async def over(self, *others, **settings):
        """The call."""
        async with (
            self.openai.serving("voice.example.com", 80),
            self.gemini.serving() as endpoint,
        ):
            first = OpenAIRealtime(api_key=realtime.KEY, endpoint=self.openai.url)
            second = GeminiLive(api_key=gemini.API_KEY, endpoint=endpoint)
            self.provider = Fallback(
                first, *(others or (second,)), on_switch=self.switches.append, **settings
            )
            session = VoiceSession(
                s2s=self.provider,
                line=self.caller,
                vad=ScriptedVad(rate=24000),
                # Until what was sent before the loss has sounded, and is history.
                settings=EngineSettings(reconnect=ReconnectSettings(first_delay_ms=700)),
                observers=[self.trace],
            )
            async with session, self.caller.on(session):
                self.session = session
                yield self

    def words(self, role):
        """What one side said, by the history."""
        items = self.session.history
        return [one.text for one in items if isinstance(one, Message) and one.role is role]


def test_a_service_that_dies_in_mid_response_is_followed_by_another_that_knows_what_was_heard():
    """Lost at 1780 ms and up again when it is tried; what is said is continued, not repeated."""
    scene = Scene(Faults(drop_after_audio_ms=900))

    async def play():
        async with scene.over():
            await scene.caller.say("what time is it")
            await asyncio.sleep(4)
            assert scene.caller.heard == "one two three four five"
            await scene.caller.say("go on")
            await asyncio.sleep(5)
            heard = scene.caller.heard
            return heard, scene.words(Role.USER), scene.words(Role.AGENT)

    heard, asked, said = simulate(play)
    assert heard == LONG
    assert asked == ["what time is it", "go on"]
    assert said == ["one two three four five", "six seven eight nine ten"]
    ended = [one.outcome for one in scene.trace.of(AgentResponseEnded)]
    assert ended == [ResponseOutcome.FAILED, ResponseOutcome.HEARD]
    assert scene.trace.at_ms(Reconnected) == 1780 + 700
    assert (len(scene.openai.sessions), len(scene.gemini.connections)) == (1, 1)
    assert len(scene.trace.of(SessionEnded)) == 1


def test_a_service_that_refuses_is_followed_by_another_before_the_call_begins():
    """The next one is asked at once, in the same attempt to connect."""
    scene = Scene(Faults(refuse_status=503))

    async def play():
        async with scene.over():
            await scene.caller.say("what time is it")
            await asyncio.sleep(4)
            return scene.caller.heard

    assert simulate(play) == LONG
    (switched,) = scene.switches
    assert (switched.previous, switched.following) == ("openai_realtime", "gemini_live")
    assert not switched.is_mid_call
    assert not scene.trace.of(Reconnected)


def cascade():
    """Speech to text, an agent and text to speech, at the rates of OpenAI Realtime."""

    class Agent:
        async def respond(self, turn):
            last = [one for one in turn.history if getattr(one, "role", None) is Role.AGENT]
            yield LONG[len(last[-1].text) :].strip() if last else LONG

    stt = ScriptedStt(delay_ms=50)
    stt.capabilities = Capabilities(input_formats=(pcm16(24000),))
    return Cascade(stt, Agent(), ScriptedTts(delay_ms=30))


def test_a_service_is_followed_by_a_cascade():
    """Where turns are ours from the beginning, since those are what both have."""
    scene = Scene(Faults(drop_after_audio_ms=900))

    async def play():
        async with scene.over(cascade()):
            assert scene.provider.capabilities.turn_owners == (TurnOwner.FRAMEWORK,)
            await scene.caller.say("what time is it")
            await asyncio.sleep(4)
            await scene.caller.say("go on")
            await asyncio.sleep(5)
            return scene.caller.heard, scene.words(Role.AGENT)

    heard, said = simulate(play)
    assert heard == LONG
    assert said == ["one two three four five", "six seven eight nine ten"]


def test_one_that_was_lost_rests_and_then_is_the_first_again():
    """For 30 s the second is given; after that one caller tries the first, and it works."""

    async def scene():
        async def silent(link):
            pass

        first = ScriptedProvider(silent, silent, name="first")
        second = ScriptedProvider(silent, silent, name="second")
        both = Fallback(first, second, rest_seconds=30)
        loop = asyncio.get_running_loop()
        asked = []
        for moment in (0, 0.1, 29.999, 30.0):
            await asyncio.sleep(moment - loop.time())
            before = len(first.links)
            async with both.connect(S2sOptions()) as link:
                asked.append("first" if len(first.links) > before else "second")
                if moment == 0:
                    link.attach(lambda event: None)
                    first.links[0].emit(LinkClosed(is_clean=False))
        return asked

    assert simulate(scene) == ["first", "second", "second", "first"]


def test_what_ends_badly_after_it_was_left_is_no_failure():
    """A service that drops the connection when it is left is asked again by the next caller."""

    class Rude:
        name = "rude"
        capabilities = Capabilities()
        asked = 0

        @asynccontextmanager
        async def connect(self, options):
            self.asked += 1
            link = ScriptedLink()
            yield link
            link.emit(LinkClosed(is_clean=False))

    rude = Rude()

    async def scene():
        both = Fallback(rude, ScriptedProvider())
        for _ in range(3):
            async with both.connect(S2sOptions()) as link:
                link.attach(lambda event: None)

    simulate(scene)
    assert rude.asked == 3


def test_a_handle_is_given_to_the_one_it_came_from_only():
    """It is marked with who gave it; with another provider it is said to be void."""

    async def gives(link):
        link.emit(ResumptionChanged(handle="abc"))

    async def silent(link):
        pass

    async def scene():
        able = Capabilities(resumption=Resumption.HANDLE, can_seed_history=True)
        history = Capabilities(resumption=Resumption.HISTORY, can_seed_history=True)
        first = ScriptedProvider(gives, silent, name="first", capabilities=able)
        second = ScriptedProvider(silent, name="second", capabilities=history)
        both = Fallback(first, second)
        assert both.capabilities.resumption is Resumption.HANDLE
        told = []
        async with both.connect(S2sOptions()) as link:
            link.attach(told.append)
            await asyncio.sleep(0.1)
        handle = told[0].handle
        async with both.connect(S2sOptions(resume=handle)) as link:
            link.attach(told.append)
            first.links[1].emit(LinkClosed(is_clean=False))
        told.clear()
        async with both.connect(S2sOptions(resume=handle)) as link:
            link.attach(told.append)
        return handle, [one.resume for one in first.options + second.options], told[0]

    handle, resumed, void = simulate(scene)
    assert resumed == [None, "abc", None]
    assert handle != "abc"
    assert void == ResumptionChanged(handle=None)


def test_turns_belong_to_whom_all_can_leave_them():
    """A provider that would rather find them itself is told otherwise."""

    async def silent(link):
        pass

    rather = Capabilities(turn_owners=(TurnOwner.PROVIDER, TurnOwner.FRAMEWORK))
    first = ScriptedProvider(silent, name="first", capabilities=rather)

    async def scene():
        async with Fallback(first, ScriptedProvider()).connect(S2sOptions()):
            return first.options[0].turn_owner

    assert simulate(scene) is TurnOwner.FRAMEWORK


def test_what_has_nothing_in_common_cannot_stand_in():
    """Languages that no two of them share are found before anything is connected."""
    german = ScriptedProvider(capabilities=Capabilities(languages=frozenset({"de"})))
    english = ScriptedProvider(capabilities=Capabilities(languages=frozenset({"en"})))
    with pytest.raises(ConfigurationError, match="languages"):
        Fallback(german, english)


def told_by(*capabilities, scripts, options=None):
    """Connects as often as there are scripts; gives the providers and what each link told."""
    providers = [
        ScriptedProvider(*scripts, name=str(number), capabilities=able)
        for number, able in enumerate(capabilities)
    ]

    async def scene(act):
        both = Fallback(*providers)
        told = []
        async with both.connect(options or S2sOptions()) as link:
            link.attach(told.append)
            act(link)
            await asyncio.sleep(0.1)
        return both, told

    return providers, scene


async def quiet(link):
    """Say nothing of one's own accord."""


def test_a_handle_that_the_others_could_not_do_without_is_not_kept():
    """One of them can neither continue a conversation nor be told of it."""

    async def gives(link):
        link.emit(ResumptionChanged(handle="abc"))

    able = Capabilities(resumption=Resumption.HANDLE, can_seed_history=True)
    _, scene = told_by(able, Capabilities(), scripts=[gives])
    both, told = simulate(scene(lambda link: None))
    assert both.capabilities.resumption is Resumption.NONE
    assert told[0] == ResumptionChanged(handle=None)


def test_a_response_is_asked_only_of_who_makes_one():
    """Of the others nothing is asked, so the one that takes over can be."""
    can = Capabilities(can_request_response=True)
    providers, scene = told_by(Capabilities(), can, scripts=[quiet])
    both, _ = simulate(scene(lambda link: link.send(CreateResponse())))
    assert both.capabilities.can_request_response
    assert not providers[0].links[0].commands


def test_one_that_cannot_be_told_in_mid_call_is_opened_again():
    """The link ends in order, and once; the service is not to blame."""
    seeded = Capabilities(can_seed_history=True)
    said = SeedHistory(items=(Message(role=Role.AGENT, text="one"),))

    def act(link):
        link.send(said)
        link.send(said)

    providers, scene = told_by(seeded, seeded, scripts=[quiet])
    both, told = simulate(scene(act))
    assert both.capabilities.can_add_history
    (closed,) = told
    assert closed.is_clean
    assert not providers[0].links[0].commands


def test_only_the_first_of_those_that_are_named_is_given_the_voice():
    """The others have other voices: theirs is their own, or that of the parts."""

    async def lost(link):
        await asyncio.sleep(0.1)
        link.emit(LinkClosed(is_clean=False, reason="lost"))

    first = ScriptedProvider(lost, name="first")
    tts = ScriptedTts()
    asked = []
    connect = tts.connect

    def noted(options):
        asked.append(options.voice)
        return connect(options)

    tts.connect = noted

    async def scene():
        session = VoiceSession(
            s2s=[first, "cascade"], stt=ScriptedStt(), tts=tts, voice="marin", vad=ScriptedVad
        )
        async with session:
            await asyncio.sleep(1)

    simulate(scene)
    assert first.options[0].voice == "marin"
    assert asked == [None]
