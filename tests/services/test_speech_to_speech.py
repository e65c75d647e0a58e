"""A handle holds settings, refuses what cannot be honoured, and is a provider itself."""

import asyncio

import pytest

from beluga_voice import s2s
from beluga_voice.app import VoiceSession
from beluga_voice.errors import ConfigurationError, UnknownPlugin, Unsupported
from beluga_voice.interfaces import Latency, S2sOptions, TurnDetection, TurnOwner
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.speech import ScriptedBrain, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from services.places import PLACES


def test_a_name_makes_a_handle():
    """What is known of a service is there before it is connected to."""
    service = s2s("openai_realtime:gpt-realtime-2", voice="marin", instructions="Be kind.")
    assert service.name == "openai_realtime"
    assert service.capabilities.has_tools
    assert (service.options.voice, service.options.instructions) == ("marin", "Be kind.")


def test_settings_of_one_provider_are_passed_on():
    """What only this service knows is given to it, and what it does not know is refused."""
    s2s("openai_realtime", speed=1.2)
    with pytest.raises(ConfigurationError, match="does not take"):
        s2s("openai_realtime", sped=1.2)


def test_an_unknown_name_is_refused():
    """The error lists the services there are."""
    with pytest.raises(UnknownPlugin, match="openai_realtime"):
        s2s("no_such_service")


@pytest.mark.parametrize(
    ("name", "wanted", "capability"),
    [
        ("openai_realtime", {"temperature": 0.5}, "has_temperature"),
        ("openai_realtime", {"turn_owner": TurnOwner.DUPLEX}, "turn_owners"),
        ("gemini_live", {"respond_automatically": False}, "can_suppress_response"),
        (
            "openai_realtime",
            {"turn_owner": TurnOwner.FRAMEWORK, "turn_detection": TurnDetection(silence_ms=300)},
            "turn_detection",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_at_once(name, wanted, capability):
    """The error names the capability, and nothing is connected."""
    with pytest.raises(Unsupported, match=capability):
        s2s(name, **wanted)


def test_a_latency_is_one_of_three_words():
    """A word that is none of them is refused with those there are."""
    with pytest.raises(ConfigurationError, match="low, medium, high"):
        s2s("openai_realtime", latency="fast")


@pytest.mark.parametrize(
    "wrong", [{"silence_ms": 0}, {"prefix_ms": -1}, {"threshold": 1.5}, {"threshold": -0.1}]
)
def test_turn_detection_has_ranges(wrong):
    """Settings outside of what makes sense are refused where they are written."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        TurnDetection(**wrong)


def caller_of(service):
    """Somebody whose words need no other rate: test words do not survive that."""
    able = service.capabilities
    rates = {"input_rate": able.input_formats[0].rate, "output_rate": able.output_formats[0].rate}
    return ScriptedCaller(**rates)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_session_takes_a_handle(place):
    """The settings of a handle hold in a session that says nothing else."""

    async def scene():
        brain = ScriptedBrain([Speaks("hello there")])
        async with place(brain, instructions="Be kind.") as service:
            caller = caller_of(service)
            ears = ScriptedVad(rate=caller.options.input_rate)
            session = VoiceSession(s2s=service, line=caller, vad=ears)
            async with session, caller.on(session):
                await caller.say("hello")
                await asyncio.sleep(4)
            return caller.heard

    assert simulate(scene) == "hello there"


@pytest.mark.parametrize("place", ["openai_realtime", "gemini_live", "grok"])
def test_low_latency_shortens_the_silence_that_ends_a_turn(place):
    """The word is put into milliseconds that the service honours."""

    async def scene():
        brain = ScriptedBrain([Speaks("hello there")])
        async with PLACES[place](brain, latency=Latency.LOW) as service:
            caller = caller_of(service)
            ears = ScriptedVad(rate=caller.options.input_rate)
            session = VoiceSession(s2s=service, line=caller, vad=ears)
            async with session, caller.on(session):
                await asyncio.sleep(1)
                await caller.say("hello")
                await asyncio.sleep(4)
                return caller.first_sound_ms

    assert simulate(scene) == 1000 + 180 + 300


@pytest.mark.parametrize("name", ["nova_sonic", "openai_live", "elevenlabs:agent"])
def test_where_turns_cannot_be_tuned_a_latency_is_refused(name):
    """A word that would change nothing is not taken."""
    with pytest.raises(Unsupported, match="turn_detection"):
        s2s(name, latency=Latency.LOW)


def test_the_session_has_the_last_word():
    """Options that are given when connecting go before those of the handle."""

    async def scene():
        async def script(link):
            pass

        provider = ScriptedProvider(script, script)
        service = s2s(provider, instructions="Be kind.", voice="ada")
        async with service.connect(S2sOptions(instructions="Be brief.")), service.connect():
            pass
        return [(one.instructions, one.voice) for one in provider.options]

    assert simulate(scene) == [("Be brief.", "ada"), ("Be kind.", "ada")]
