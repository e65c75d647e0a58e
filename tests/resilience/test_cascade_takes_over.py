"""Each speech-to-speech service fails in each way, and the cascade takes the call over."""

import asyncio

import pytest

from beluga_voice import VoiceSession
from beluga_voice.audio.formats import pcm16
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.link import ReconnectSettings
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    BargedIn,
    LinkClosed,
    Reconnected,
    Reconnecting,
    ResponseStarted,
    Role,
    ServiceSwitched,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, TurnOwner
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.notices import Switched
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.speech import Faults
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts, ScriptedVad
from resilience.failing_services import (
    AGENT_MS,
    HOST,
    HOSTS,
    LONG,
    PORT,
    SERVICES,
    STT_MS,
    TTS_MS,
    calling,
)

DELAY_MS = 100
"""Before the session connects again, as it comes."""
BEFORE_AND_AFTER_MS = (50, 700)
"""Connects again while what was sent before the loss still sounds, and when it is history."""
END_SILENCE_MS = 600


def after(delay_ms):
    """Connects again so long after a loss."""
    return EngineSettings(reconnect=ReconnectSettings(first_delay_ms=delay_ms))


CASCADE_MS = STT_MS + AGENT_MS + TTS_MS
CONNECT_MS = 3000
"""How long a guarded service may take to connect."""

BROKEN = {
    "its socket dies": Faults(drop_after_audio_ms=900),
    "it closes with 1000": Faults(drop_after_audio_ms=900, close_code=1000),
    "it closes with 1011": Faults(drop_after_audio_ms=900, close_code=1011),
}


@pytest.mark.parametrize("delay_ms", BEFORE_AND_AFTER_MS)
@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("name", SERVICES)
def test_what_broke_off_in_mid_response_is_gone_on_with(name, fault, delay_ms):
    """The cascade knows to the word what was heard; nothing is said or answered twice."""

    async def scene():
        async with calling(SERVICES[name], BROKEN[fault], settings=after(delay_ms)) as call:
            await call.caller.say("what time is it")
            await asyncio.sleep(4)
            heard = call.caller.heard
            await call.caller.say("go on")
            spoke_until = call.caller.now_ms
            await asyncio.sleep(4)
            return call, heard, spoke_until, call.caller.heard, call.caller.sounds_ms

    call, before, spoke_until, heard, sounds = simulate(scene)
    assert len(before.split()) in (4, 5)
    assert heard == LONG
    assert call.mind.asked == ["go on"]
    assert call.mind.knew == [
        [(Role.USER, "what time is it"), (Role.AGENT, before), (Role.USER, "go on")]
    ]
    assert call.words(Role.AGENT) == [before, LONG[len(before) :].strip()]
    lost_ms = call.trace.at_ms(Reconnecting)
    assert call.trace.at_ms(Reconnected) == lost_ms + delay_ms
    assert sounds[-1][0] == spoke_until + END_SILENCE_MS + CASCADE_MS
    assert [one.is_mid_call for one in call.trace.of(ServiceSwitched)] == [True]


@pytest.mark.parametrize("name", SERVICES)
def test_one_that_is_lost_before_its_answer_sounds_is_answered_for(name):
    """Lost at 1500 ms: the answer comes as soon as there is a link and the cascade has made it."""

    async def scene():
        async with calling(SERVICES[name]) as call:
            address = HOSTS.get(name, (HOST, PORT))
            network = running_simulation().network
            asyncio.get_running_loop().call_at(1.5, lambda: network.reset(*address))
            await call.caller.say("what time is it")
            await asyncio.sleep(5)
            return call, call.caller.heard, call.caller.sounds_ms

    call, heard, sounds = simulate(scene)
    assert heard == LONG
    assert call.mind.asked == ["what time is it"]
    assert call.words(Role.USER) == ["what time is it"]
    # These had not told for good what they understood: the cascade hears it again.
    hears_ms = STT_MS if name in ("gemini_live", "nova_sonic", "openai_live") else 0
    assert sounds[-1][0] == 1500 + DELAY_MS + hears_ms + AGENT_MS + TTS_MS


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "openai_live"])
def test_one_that_is_lost_while_the_person_speaks_costs_nothing(name):
    """What it heard is heard again, and the answer comes when the cascade's own would."""

    async def scene():
        async with calling(SERVICES[name]) as call:
            address = HOSTS.get(name, (HOST, PORT))
            network = running_simulation().network
            asyncio.get_running_loop().call_at(0.5, lambda: network.reset(*address))
            await call.caller.say("what time is it")
            await asyncio.sleep(5)
            return call, call.caller.heard, call.caller.sounds_ms

    call, heard, sounds = simulate(scene)
    assert heard == LONG
    assert call.mind.asked == ["what time is it"]
    assert call.words(Role.USER) == ["what time is it"]
    assert sounds[0][0] == 800 - 20 + END_SILENCE_MS + CASCADE_MS


@pytest.mark.parametrize("name", SERVICES)
def test_one_that_opens_and_stays_silent_is_given_up(name):
    """Before the call begins, when it has not got ready in time."""

    async def scene():
        async with calling(SERVICES[name], Faults(is_mute=True)) as call:
            began = call.caller.now_ms
            await call.caller.say("what time is it")
            await asyncio.sleep(4)
            return call, began, call.caller.heard, call.caller.sounds_ms

    call, began, heard, sounds = simulate(scene)
    assert began == CONNECT_MS
    assert heard == LONG
    assert call.mind.asked == ["what time is it"]
    assert sounds[0][0] == began + 800 - 20 + END_SILENCE_MS + CASCADE_MS
    (switched,) = call.trace.of(ServiceSwitched)
    assert (switched.previous, switched.following) == (name, "scripted_stt+scripted_tts")


@pytest.mark.parametrize("name", SERVICES)
def test_one_that_refuses_to_be_connected_to_again_is_left(name):
    """In the same attempt: the person, who speaks meanwhile, is answered in time."""

    async def scene():
        faults = Faults(), Faults(refuse_status=503)
        async with calling(SERVICES[name], *faults) as call:
            call.caller.begin("what time is it")
            await asyncio.sleep(0.3)
            call.session.reconnect()
            await asyncio.sleep(5)
            return call, call.caller.heard, call.caller.sounds_ms

    call, heard, sounds = simulate(scene)
    assert heard == LONG
    assert call.trace.at_ms(Reconnected) == 300 + DELAY_MS
    assert call.mind.asked == ["what time is it"]
    assert sounds[0][0] == 800 - 20 + END_SILENCE_MS + CASCADE_MS


@pytest.mark.parametrize("name", SERVICES)
def test_a_cascade_that_took_over_is_interrupted_as_ever(name):
    """Whoever owns the turns, after 300 ms of voice; its agent knows what was heard."""

    async def scene():
        faults = Faults(), Faults(refuse_status=503)
        async with calling(SERVICES[name], *faults) as call:
            call.session.reconnect()
            await asyncio.sleep(1)
            await call.caller.say("what time is it")
            await asyncio.sleep(2)
            began_ms = call.caller.now_ms
            call.caller.begin("go on")
            await asyncio.sleep(5)
            return call, began_ms, call.caller.heard, call.caller.sounds_ms

    call, began_ms, heard, sounds = simulate(scene)
    said = call.words(Role.AGENT)[0]
    assert LONG.startswith(said)
    assert len(said.split()) in (6, 7)
    assert heard == f"{said} {LONG[len(said) :].strip()}"
    assert call.mind.knew[1][1] == (Role.AGENT, said)
    assert len(call.trace.of(BargedIn)) == 1
    assert call.trace.at_ms(BargedIn) == began_ms - 20 + 300
    assert len(sounds) == 2


@pytest.mark.parametrize("delay_ms", BEFORE_AND_AFTER_MS)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("openai_realtime", "gemini_live"),
        ("gemini_live", "nova_sonic"),
        ("elevenlabs", "nova_sonic"),
        ("gemini_live", "openai_live"),
    ],
)
def test_one_service_takes_over_from_another(first, second, delay_ms):
    """With what was heard as its history; turns belong to whom both know.

    One that cannot be told later is connected to once more when that is known.
    """
    elsewhere = {"openai_live": ("live.example.com", 81)}.get(second, ("second.example.com", 80))

    async def scene():
        async with calling(
            SERVICES[first],
            Faults(drop_after_audio_ms=900),
            second=lambda brain, faults: SERVICES[second](brain, faults, *elsewhere),
            settings=after(delay_ms),
        ) as call:
            await call.caller.say("what time is it")
            await asyncio.sleep(4)
            before = call.caller.heard
            await call.caller.say("go on")
            await asyncio.sleep(5)
            return call, before, call.caller.heard

    call, before, heard = simulate(scene)
    assert len(before.split()) in (4, 5)
    assert heard == LONG
    assert call.words(Role.USER) == ["what time is it", "go on"]
    assert call.words(Role.AGENT) == [before, LONG[len(before) :].strip()]
    (switched,) = call.trace.of(ServiceSwitched)
    assert (switched.previous, switched.following) == (first, second)


def test_a_lost_cascade_is_followed_by_the_service_that_has_rested():
    """A link that is open stays; the next one goes to the first again, after 30 s."""

    async def scene():
        async with calling(SERVICES["grok"], Faults(drop_after_audio_ms=900)) as call:
            await call.caller.say("what time is it")
            await asyncio.sleep(27)
            call.session.reconnect()  # it rests until it is 2480 + 30,000
            await asyncio.sleep(1)
            await call.caller.say("go on")
            await asyncio.sleep(8)
            by_cascade = len(call.mind.asked)
            call.session.reconnect()
            await asyncio.sleep(1)
            await call.caller.say("say it again")
            await asyncio.sleep(2)
            return call, by_cascade

    call, by_cascade = simulate(scene)
    assert by_cascade == len(call.mind.asked) == 1
    assert len(call.brain.asked) == 2
    assert call.brain.asked[1].text.endswith("say it again")


async def echo(text: str) -> str:
    """Repeat."""
    return f"you said {text}"


def test_a_cascade_is_named_among_services():
    """It is of the given parts, and its agent decides the words of the service as well."""

    async def scene():
        async with SERVICES["openai_realtime"](lambda asked: None, ()) as provider:
            stt = ScriptedStt(delay_ms=STT_MS)
            stt.capabilities = Capabilities(input_formats=(pcm16(24000),))
            caller = ScriptedCaller(input_rate=24000)
            session = VoiceSession(
                s2s=[provider, "cascade"],
                stt=stt,
                agent=echo,
                tts=ScriptedTts(delay_ms=TTS_MS),
                vad=lambda: ScriptedVad(rate=24000),
                line=caller,
            )
            async with session, caller.on(session):
                running_simulation().network.reset(HOST, PORT)
                await asyncio.sleep(1)
                await caller.say("hello there")
                await asyncio.sleep(4)
                return caller.heard, session.provider.capabilities.turn_owners

    assert simulate(scene) == ("you said hello there", (TurnOwner.PROVIDER,))


def test_a_cascade_named_alone_with_parts_is_no_stand_in():
    """One service, and parts of a cascade: nobody knows which was meant."""
    with pytest.raises(ConfigurationError, match="stands in"):
        VoiceSession(s2s=ScriptedProvider(), stt=ScriptedStt())


def test_a_detector_is_not_shared():
    """The service that stands in needs its own, so what makes one is asked for."""
    provider = ScriptedProvider(capabilities=Capabilities(turn_owners=(TurnOwner.PROVIDER,)))
    with pytest.raises(ConfigurationError, match="function that makes one"):
        VoiceSession(s2s=[provider, "cascade"], vad=ScriptedVad())


def test_services_without_an_owner_of_turns_in_common_are_refused():
    """The message says who knows which, and what to take."""
    theirs = ScriptedProvider(
        name="theirs", capabilities=Capabilities(turn_owners=(TurnOwner.PROVIDER,))
    )
    both_ways = ScriptedProvider(
        name="both_ways", capabilities=Capabilities(turn_owners=(TurnOwner.DUPLEX,))
    )
    with pytest.raises(
        ConfigurationError, match=r"theirs: provider; both_ways: duplex\).*take a cascade"
    ):
        VoiceSession(s2s=[both_ways, theirs][::-1])


def test_a_clean_end_while_an_answer_is_owed_is_a_failure():
    """Who ends the link in order, and owes nothing, is asked again."""

    async def owing(link):
        link.emit(ResponseStarted(response_id="a"), LinkClosed(is_clean=True, reason="done"))

    async def idle(link):
        link.emit(LinkClosed(is_clean=True))

    async def asked(script):
        switches: list[Switched] = []
        first = ScriptedProvider(script, script, name="first")
        both = Fallback(first, ScriptedProvider(idle, name="second"), on_switch=switches.append)
        for _ in range(2):
            async with both.connect(S2sOptions()) as link:
                link.attach(lambda event: None)
                await asyncio.sleep(0.1)
        return len(first.links), [(one.following, one.reason) for one in switches]

    assert simulate(asked(idle)) == (2, [])
    assert simulate(asked(owing)) == (1, [("second", "done")])
