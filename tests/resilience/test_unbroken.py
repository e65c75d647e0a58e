"""A line that brings nothing brings silence, for services whose clock is our sound."""

import asyncio

import pytest

from beluga_voice import VoiceSession
from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import ErrorOccurred, Reconnecting, SendAudio
from beluga_voice.interfaces import Capabilities, SttOptions
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.resilience.unbroken import Unbroken, unbroken
from beluga_voice.testing.emulators import nova_sonic
from beluga_voice.testing.emulators.speech import Pace, Speaks
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.matrix.people import Person
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedVad
from beluga_voice.testing.trace import trace


async def nothing(link):
    """What a service does that is only to be looked at."""


class Timed:
    """A provider that notes when sound came, and how much."""

    def __init__(self, sound=None):
        able = Capabilities(needs_continuous_input=True, input_formats=(sound or pcm16(16000),))
        self.inside = ScriptedProvider(nothing, capabilities=able)
        self.name, self.capabilities = self.inside.name, able
        self.got = []

    def connect(self, options):
        """A link of it, that is watched."""
        provider = self

        class Watching:
            async def __aenter__(self):
                self.context = provider.inside.connect(options)
                link = await self.context.__aenter__()
                provider.link = link
                link.send = provider.note
                return link

            async def __aexit__(self, *error):
                await self.context.__aexit__(*error)

        return Watching()

    def note(self, command):
        """Sound came."""
        self.got.append((running_simulation().time_ms(), command.pcm))


def held(provider, *deeds, until=3000):
    """Send these at their times, in ms; gives when sound came."""

    async def scene():
        async with Unbroken(provider).connect(SttOptions()) as link:
            for at, pcm in deeds:
                await asyncio.sleep(at / 1000 - asyncio.get_running_loop().time())
                link.send(SendAudio(pcm=pcm))
            await asyncio.sleep(until / 1000 - asyncio.get_running_loop().time())

    simulate(scene)
    return [at for at, _ in provider.got]


def test_a_line_that_brings_nothing_is_given_silence_at_the_pace_of_time():
    """From half a second on, a tenth of a second at a time."""
    provider = Timed()
    assert held(provider, until=1050) == [500, 600, 700, 800, 900, 1000]
    assert {pcm for _, pcm in provider.got} == {bytes(3200)}


def test_a_line_that_brings_sound_is_given_none():
    """Nor where the network leaves a hole; and sound ends the silence at once."""
    provider = Timed()
    deeds = [(at, b"\x01\x02" * 320) for at in (*range(0, 1000, 20), 1450, 2040)]
    times = held(provider, *deeds, until=2600)
    assert times[:51] == [*range(0, 1000, 20), 1450]
    assert times[51:] == [1950, 2040, 2540]


@pytest.mark.parametrize("encoding", [Encoding.MULAW, Encoding.ALAW, Encoding.FLOAT32])
def test_silence_is_silent_in_every_encoding(encoding):
    """A zero is a bang in some of them."""
    sound = AudioFormat(encoding, 8000)
    provider = Timed(sound)
    held(provider, until=550)
    ((_, pcm),) = provider.got
    assert len(pcm) == 800 * sound.block_bytes
    samples = memoryview(convert(pcm, sound, pcm16(8000))).cast("h")
    assert max(map(abs, samples)) <= 8


def test_only_what_needs_it_is_wrapped():
    """The others are given what the line brings."""
    plain = ScriptedStt()
    assert unbroken(plain) is plain
    wrapped = unbroken(ScriptedStt(is_continuous=True))
    assert (wrapped.name, wrapped.capabilities.needs_continuous_input) == (plain.name, True)
    with pytest.raises(ConfigurationError):
        Unbroken(plain, idle_ms=0)


def test_a_muted_microphone_ends_no_conversation_with_nova():
    """It hangs up after 55 s without sound; after three minutes it still answers, at once."""

    async def scene():
        service = nova_sonic.NovaSonicEmulator(
            lambda asked: Speaks("we do as he is"),
            pace=Pace(thinking_ms=400, word_ms=200),
            silence_ms=500,
            ends_completions=True,
        )
        async with service.serving("voice.example.com", 80):
            provider = NovaSonic(open_channel=nova_sonic.plain(service.url))
            caller = Person(input_rate=16000, output_rate=24000)
            session = VoiceSession(s2s=provider, line=caller, vad=ScriptedVad())
            heard = trace(session)
            async with session, caller.on(session):
                await caller.wait(180_000, is_muted=True)
                await caller.say("what time is it")
                await asyncio.sleep(4)
                return caller.heard, heard

    words, heard = simulate(scene)
    assert words == "we do as he is"
    assert not heard.of(Reconnecting)
    assert not heard.of(ErrorOccurred)
