"""What makes no sense is refused by a handle at once, with what should be given."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from beluga_voice import s2s, stt, tts
from beluga_voice.errors import ConfigurationError, Silent, WrongFormat
from beluga_voice.events import Message, Role, ToolCallId, ToolResult, ToolUse
from beluga_voice.interfaces import TurnOwner
from beluga_voice.testing.emulators.speech import ScriptedBrain, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import speech
from services.places import PLACES


def weather(city: str) -> str:
    """Tell the weather."""
    return f"cold in {city}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"model": 3}, "model should be text, not of the type int"),
        ({"api_key": 5}, "api_key should be text"),
        ({"endpoint": 5}, "endpoint should be an address"),
        ({"endpoint": ""}, "the endpoint is empty"),
        ({"endpoint": "127.0.0.1:80"}, "wss://"),
        ({"instructions": 5}, "instructions should be text"),
        ({"voice": 5}, "voice should be the name of a voice"),
        ({"language": 7}, "language should be a language tag"),
        ({"temperature": "hot"}, "temperature should be a number"),
        ({"temperature": True}, "temperature should be a number"),
        ({"max_output_tokens": 1.5}, "max_output_tokens should be a whole number"),
        ({"turn_detection": {"silence_ms": 300}}, "turn_detection should be a TurnDetection"),
        ({"turn_owner": "me"}, "turn_owner should be one of framework, provider, duplex"),
        ({"latency": 3}, "latency should be one of low, medium, high"),
        ({"tools": 5}, "tools should be a list of functions"),
        ({"tools": weather}, "tools should be a list of functions"),
        ({"tools": "weather"}, "tools should be a list of functions"),
        ({"tools": [5]}, "each of tools should be a function or a Tool"),
        ({"sped": 1}, "does not take sped; it takes model, api_key, endpoint, voice"),
        ({"speed": "fast"}, "a setting of the wrong type"),
    ],
    ids=str,
)
def test_arguments_of_another_kind_are_refused(given, told):
    """The error names the argument, and what it should be."""
    with pytest.raises(ConfigurationError) as caught:
        s2s("grok", **given)
    assert told in str(caught.value)


def test_what_is_no_service_is_refused():
    """Neither a name nor a provider."""
    with pytest.raises(ConfigurationError, match="name of a service, or a provider"):
        s2s(None)


def test_an_agent_has_to_be_named():
    """Where there is no default, the error says what to write."""
    with pytest.raises(ConfigurationError, match=r"id of your agent.* elevenlabs:AGENT_ID"):
        s2s("elevenlabs")


def test_credentials_that_are_no_key_have_another_name():
    """Who gives a key to a service that takes none is told what it takes."""
    with pytest.raises(ConfigurationError, match=r"does not take api_key; it takes .*credentials"):
        s2s("nova_sonic", api_key="key")


def test_an_owner_of_turns_may_be_a_word():
    """As a latency may."""
    assert s2s("grok", turn_owner="framework").options.turn_owner is TurnOwner.FRAMEWORK


def spoken(rate):
    """A question."""
    return b"".join(frame for word in speech("he is in", rate=rate) for frame in word.frames)


async def asked(place, audio_of, **more):
    """What comes of one turn, and what the brain was asked."""
    brain = ScriptedBrain([Speaks("so he is")])
    async with PLACES[place](brain) as service:
        rate = service.capabilities.input_formats[0].rate
        answer = await service.process(audio_of(rate), **more)
    return answer, brain.asked[0]


@pytest.mark.parametrize(
    ("audio", "more", "told"),
    [
        ("question.wav", {}, "of the type str; give bytes of mono 16-bit PCM, or what read_wav"),
        (None, {}, "of the type NoneType"),
        (np.zeros(100), {}, "of the type ndarray"),
        (b"RIFF\0\0\0\0WAVE", {}, "this is a WAV file, and no plain PCM"),
        (b"OggS" + bytes(100), {}, "this is a OGG file"),
        (b"", {}, "there is no sound"),
        (b"abc", {}, "end inside a 16-bit sample"),
        (bytes(100), {"rate": 0}, "a rate of 0 Hz"),
    ],
    ids=str,
)
def test_what_is_no_sound_is_refused(audio, more, told):
    """Before anything is connected."""
    with pytest.raises(WrongFormat) as caught:
        simulate(lambda: asked("grok", lambda _: audio, **more))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [bytearray, memoryview, lambda pcm: np.frombuffer(pcm, "<i2")],
    ids=["bytearray", "memoryview", "array"],
)
def test_sound_may_be_in_any_buffer(made):
    """Of bytes, or of 16-bit samples."""
    answer, _ = simulate(lambda: asked("grok", lambda rate: made(spoken(rate))))
    assert answer.transcript == "he is in"


SAID = (
    Message(role=Role.USER, text="my name is ada"),
    ToolUse(call_id=ToolCallId("c"), name="weather", arguments='{"city": "Oslo"}'),
    ToolResult(call_id=ToolCallId("c"), output="cold in Oslo"),
    Message(role=Role.AGENT, text="hello ada"),
)


@pytest.mark.parametrize("place", sorted(set(PLACES) - {"cascade"}))
def test_a_context_with_tools_is_taken_by_every_service(place):
    """Those that take words only are told the words."""
    _, question = simulate(lambda: asked(place, spoken, context=SAID))
    words = [one.text for one in question.history if isinstance(one, Message)]
    assert [one for one in words if one in ("my name is ada", "hello ada", "he is in")] == [
        "my name is ada",
        "hello ada",
        "he is in",
    ]


@pytest.mark.parametrize("context", ["hello", [{"role": "user"}], SAID[0]], ids=repr)
def test_a_context_of_another_kind_is_refused(context):
    """The error says which types it is made of."""
    with pytest.raises(ConfigurationError, match="Message, ToolUse and ToolResult"):
        simulate(lambda: asked("grok", spoken, context=context))


def test_time_is_needed():
    """No time at all is a slip."""
    with pytest.raises(ConfigurationError, match="timeout_seconds should be above 0"):
        simulate(lambda: asked("grok", spoken, timeout_seconds=0))


def test_a_recording_longer_than_a_connection_is_refused():
    """Where it would take as long as it is, and the connection ends before."""

    async def scene():
        async with PLACES["nova_sonic"](ScriptedBrain([])) as service:
            await service.process(bytes(481 * 16000 * 2))

    with pytest.raises(WrongFormat, match=r"481 s of sound.*lasts 480 s; give it in parts"):
        simulate(scene)


def test_sound_that_was_not_taken_in_time_is_told_as_that():
    """It is not the answer that was late."""

    async def deaf(link):
        await asyncio.sleep(100)

    provider = ScriptedProvider(deaf)
    provider.capabilities = replace(
        provider.capabilities, turn_owners=(TurnOwner.FRAMEWORK,), has_input_transcript=False
    )
    with pytest.raises(Silent, match="had not taken all of the 600 s of sound within 5 s"):
        simulate(lambda: s2s(provider).process(bytes(600 * 32000), rate=16000, timeout_seconds=5))


@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        (s2s, "openai_realtime"),
        (s2s, "elevenlabs"),
        (s2s, "nova_sonic"),
        (stt, "deepgram"),
        (tts, "cartesia"),
    ],
)
@pytest.mark.parametrize("address", ["wss://me:a-secret@host/x", "wss://host/x?api_key=a-secret"])
def test_a_key_in_an_address_is_refused(handle, kind, address):
    """Addresses are shown in logs and errors: a key in one is refused, and not repeated."""
    with pytest.raises(ConfigurationError, match="does not belong into an address") as refused:
        handle(kind, model="m", endpoint=address)
    assert "secret" not in str(refused.value)
