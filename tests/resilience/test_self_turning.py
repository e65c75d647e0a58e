"""A provider that leaves the turns to us, as one that finds them by itself."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice import VoiceSession
from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.g711 import mulaw_encode
from beluga_voice.audio.level import rms
from beluga_voice.engine.interruptions import NEVER
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    AgentResponseEnded,
    BargedIn,
    ClearInput,
    EndOfTurnLikely,
    EndUserTurn,
    Interrupt,
    Interrupted,
    LinkClosed,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    SendAudio,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    TurnContinued,
    UserSpeechStarted,
)
from beluga_voice.interfaces import (
    Capabilities,
    Latency,
    S2sOptions,
    TurnDetection,
    TurnOwner,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.self_turning import SelfTurning, agreeing
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.conformance import check_speech_to_speech
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from beluga_voice.testing.trace import Trace
from scenarios.rows import ROWS

LONG = "one two three four five six seven eight nine ten"
SAID = pcm_of(speech("hello there"))
"""400 ms."""


class Loud(ScriptedVad):
    """Hears voice in what is loud, whatever it was converted from."""

    def process(self, frame, /):
        """1.0 or 0.0."""
        return float(rms(frame) > 0.01)


@pytest.mark.parametrize("name", ["cascade", "openai_realtime", "gemini_live", "grok"])
def test_it_keeps_the_rules(name):
    """With turns that are its own, and as a duplex model would be used."""

    @asynccontextmanager
    async def make(peer):
        async with ROWS[name](peer) as one:
            yield SelfTurning(one, lambda: Loud(rate=24000))

    report = check_speech_to_speech(make)
    assert len(report.kept) > 45


# ── over a service that does as it is told ──────────────────────────────────────────────────


async def silent(link):
    """Say nothing of one's own accord."""


class Scene:
    """A link over a scripted one, with all that was told and commanded, and when."""

    def __init__(self, *, is_continuous=False, **settings):
        able = Capabilities(needs_continuous_input=is_continuous)
        self.inner = ScriptedProvider(silent, capabilities=able)
        self.provider = SelfTurning(self.inner, ScriptedVad, **settings)
        self.told = []
        self.at_a_voice = None

    @asynccontextmanager
    async def link(self, **options):
        """Connected, and listened to."""
        async with self.provider.connect(S2sOptions(**options)) as self.outer:
            self.outer.attach(self.hear)
            yield self

    def hear(self, event):
        """Keep what is told; at a voice, say what was to be said then."""
        self.told.append((running_simulation().time_ms(), event))
        if isinstance(event, SpeechStarted) and self.at_a_voice is not None:
            self.outer.send(self.at_a_voice)

    async def speak(self, pcm):
        """As fast as it is spoken."""
        for start in range(0, len(pcm), 640):
            self.outer.send(SendAudio(pcm=pcm[start : start + 640]))
            await asyncio.sleep(0.02)

    @property
    def link_of_service(self):
        return self.inner.links[0]

    @property
    def commands(self):
        return list(self.link_of_service.commands)

    @property
    def events(self):
        return [event for _, event in self.told]

    def answer(self, words=5, response_id="a"):
        """The service begins a response of so many words, all at once."""
        link = self.link_of_service
        link.emit(ResponseStarted(response_id=response_id))
        for number, word in enumerate(speech(LONG, rate=24000)[:words]):
            text = word.text if not number else f" {word.text}"
            link.emit(ResponseText(response_id=response_id, delta=text))
            link.emit(ResponseAudio(response_id=response_id, pcm=pcm_of([word])))

    def cut(self, response_id="a"):
        """It has stopped."""
        done = ResponseDone(response_id=response_id, status=ResponseStatus.CANCELLED)
        self.link_of_service.emit(done)


def test_a_turn_is_found_in_the_sound():
    """Told of 60 ms after it began and 600 ms after it ended; nothing of the voice is missing."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(silence(1000) + SAID + silence(1000))
            return list(on.told), on.commands, on.link_of_service.sound

    told, commands, sound = simulate(scene)
    assert told == [(1040, SpeechStarted()), (1380 + 600, SpeechStopped())]
    assert commands == [StartUserTurn(), EndUserTurn()]
    assert words_in(sound) == ["hello", "there"]
    assert len(sound) == len(silence(360 - 60)) + len(SAID) + len(silence(600))


def test_a_recording_is_heard_as_it_was_spoken():
    """Two utterances that come at once are two turns: time is counted in the sound."""

    async def scene():
        async with Scene().link() as on:
            on.outer.send(SendAudio(pcm=(SAID + silence(900)) * 2))
            return on.events, on.commands

    events, commands = simulate(scene)
    assert events == [SpeechStarted(), SpeechStopped()] * 2
    assert commands == [StartUserTurn(), EndUserTurn()] * 2


def test_a_short_pause_is_no_end():
    """The voice goes on in time."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID + silence(520) + SAID + silence(1000))
            return list(on.told)

    assert simulate(scene) == [(40, SpeechStarted()), (1300 + 600, SpeechStopped())]


def test_a_provider_that_needs_all_sound_is_given_all_of_it():
    """Also between the turns, and nothing twice."""

    async def scene():
        async with Scene(is_continuous=True).link() as on:
            await on.speak(silence(1000) + SAID + silence(1000))
            return on.link_of_service.sound

    assert simulate(scene) == silence(1000) + SAID + silence(1000)


def test_another_encoding_is_heard_too():
    """What the provider takes is passed on as it is."""
    mulaw = AudioFormat(Encoding.MULAW, 16000)

    async def scene():
        on = Scene()
        on.inner.capabilities = Capabilities(input_formats=(mulaw,))
        on.provider = SelfTurning(on.inner, Loud)
        async with on.link():
            on.outer.send(SendAudio(pcm=mulaw_encode(SAID + silence(700))))
            return on.events, on.link_of_service.sound

    events, sound = simulate(scene)
    assert events == [SpeechStarted(), SpeechStopped()]
    assert sound == mulaw_encode(SAID + silence(600))


@pytest.mark.parametrize(
    ("options", "silence_ms"),
    [
        ({}, 600),
        ({"turn_detection": TurnDetection(silence_ms=300)}, 300),
        ({"latency": Latency.HIGH}, 900),
    ],
)
def test_the_silence_that_ends_a_turn_may_be_asked_for(options, silence_ms):
    """As of a service that finds turns by itself; the provider inside hears nothing of it."""

    async def scene():
        on = Scene()
        async with on.link(**options):
            await on.speak(SAID + silence(1000))
            return list(on.told), on.inner.options[0]

    told, asked = simulate(scene)
    assert told[-1] == (380 + silence_ms, SpeechStopped())
    assert (asked.turn_owner, asked.turn_detection, asked.latency) == (
        TurnOwner.FRAMEWORK,
        None,
        None,
    )


def test_a_voice_over_a_response_stops_it_after_300_ms():
    """Nobody says what was heard, so it is reckoned: the sound came 1000 ms before."""

    async def scene():
        async with Scene().link() as on:
            on.answer(words=10)
            await on.speak(silence(720) + SAID)
            late = Interrupt(response_id="a", heard_samples=1, heard_text="")
            on.outer.send(late)  # too late: the provider has been told
            on.cut()
            return list(on.told), on.commands, on.link_of_service.sound

    told, commands, sound = simulate(scene)
    assert sound == silence(300) + SAID
    began_ms = 720
    assert told[-3:-1] == [
        (began_ms + 280, SpeechStarted()),
        (began_ms + 280, Interrupted(response_id="a")),
    ]
    interrupt, start = commands
    assert interrupt == Interrupt(
        response_id="a", heard_samples=24000, heard_text="one two three four five"
    )
    assert start == StartUserTurn()


def test_a_cough_over_a_response_is_nothing():
    """It goes on, and nobody hears of the cough."""

    async def scene():
        async with Scene().link() as on:
            on.answer()
            await on.speak(silence(200) + SAID[: 640 * 8] + silence(600))
            return on.events, on.commands

    events, commands = simulate(scene)
    assert not [one for one in events if isinstance(one, SpeechStarted | Interrupted)]
    assert commands == []


def test_a_response_that_has_sounded_is_interrupted_by_nobody():
    """A voice after its last sample begins a turn at once."""

    async def scene():
        async with Scene().link() as on:
            on.answer(words=5)
            on.link_of_service.emit(ResponseDone(response_id="a", status=ResponseStatus.COMPLETED))
            await on.speak(silence(1000) + SAID)
            return list(on.told), on.commands

    told, commands = simulate(scene)
    assert told[-1] == (1040, SpeechStarted())
    assert commands == [StartUserTurn()]


def test_one_that_may_not_be_interrupted_is_heard_out():
    """What is said over it is a turn when it goes on behind it."""

    async def scene():
        async with Scene(interruption=NEVER).link() as on:
            on.answer(words=2)
            on.link_of_service.emit(ResponseDone(response_id="a", status=ResponseStatus.COMPLETED))
            await on.speak(silence(100) + pcm_of(speech("one two three")))
            return list(on.told)

    assert simulate(scene)[-1] == (400, SpeechStarted())


def test_who_uses_it_knows_better_what_was_heard():
    """What they say when they are told of the voice is what the provider is told, once."""

    async def scene():
        on = Scene()
        async with on.link():
            on.answer(words=10)
            on.told.clear()
            on.at_a_voice = Interrupt(response_id="a", heard_samples=7, heard_text="one")
            await on.speak(SAID)
            told = list(on.events)
            return on.commands, told

    commands, told = simulate(scene)
    assert commands == [
        Interrupt(response_id="a", heard_samples=7, heard_text="one"),
        StartUserTurn(),
    ]
    assert told == [SpeechStarted()]


def test_a_response_that_begins_while_the_person_speaks_is_not_wanted():
    """Nobody learns of it, and the provider is told."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID)
            on.answer()
            on.cut()
            return on.events, on.commands

    events, commands = simulate(scene)
    assert events == [SpeechStarted()]
    assert commands[1:] == [Interrupt(response_id="a", heard_samples=0, heard_text="")]


def test_words_that_were_to_be_said_are_passed_on_at_any_time():
    """Whoever asked for them decides."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID)
            said = ResponseStarted(response_id="a", origin=ResponseOrigin.SAID)
            on.link_of_service.emit(said)
            return on.events

    assert simulate(scene)[-1].response_id == "a"


def test_a_service_that_knows_when_a_turn_is_over_is_believed():
    """In the pause, there is nothing to wait for."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID + silence(220))
            on.link_of_service.emit(EndOfTurnLikely(probability=0.9))
            return list(on.told)

    assert simulate(scene) == [(40, SpeechStarted()), (620, SpeechStopped())]


def test_what_a_service_takes_back_is_forgotten():
    """The silence is waited for as ever; an eager guess counts for nothing at all."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID)
            on.link_of_service.emit(EndOfTurnLikely(probability=0.9), TurnContinued())
            on.link_of_service.emit(EndOfTurnLikely(probability=0.9, is_eager=True))
            await on.speak(silence(1000))
            return list(on.told)

    assert simulate(scene)[-1] == (380 + 600, SpeechStopped())


def test_who_was_cut_off_is_given_more_time():
    """Nothing had sounded when the person went on: a quarter more, from then on."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID + silence(700) + SAID + silence(1000))
            return list(on.told)

    in_whole_frames_ms = 760
    assert simulate(scene)[-1] == (1500 - 20 + in_whole_frames_ms, SpeechStopped())


def test_a_turn_ends_when_the_sound_does():
    """2 s after the last of it, though nobody heard the voice end; no timer is left."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID)
            await asyncio.sleep(5)
            return list(on.told), on.commands

    told, commands = simulate(scene)
    assert told[-1] == (380 + 2000, SpeechStopped())
    assert commands[-1] == EndUserTurn()


def test_a_lost_link_ends_in_mid_turn():
    """`LinkClosed` is the last event, and what is sent after it goes nowhere."""

    async def scene():
        async with Scene().link() as on:
            await on.speak(SAID)
            on.link_of_service.emit(LinkClosed(is_clean=False, reason="lost"))
            on.outer.send(SendAudio(pcm=silence(2000)))
            await asyncio.sleep(5)
            return on.events

    assert simulate(scene) == [SpeechStarted(), LinkClosed(is_clean=False, reason="lost")]


def test_what_has_nothing_to_do_with_turns_is_passed_on():
    """Also the order to forget what was heard; not turns of somebody else's."""

    async def scene():
        async with Scene().link() as on:
            for command in (ClearInput(), EndUserTurn()):
                on.outer.send(command)
            return on.commands

    assert simulate(scene) == [ClearInput()]


def test_a_provider_that_finds_turns_by_itself_is_refused():
    """There is nothing to find for it."""
    theirs = ScriptedProvider(capabilities=Capabilities(turn_owners=(TurnOwner.PROVIDER,)))
    with pytest.raises(ConfigurationError, match="framework"):
        SelfTurning(theirs, ScriptedVad)


@pytest.mark.parametrize(
    ("owners", "wrapped"),
    [
        ("p f", [False, True]),
        ("f f", [False, False]),
        ("pf f", [False, True]),
        ("f pf", [False, False]),
        ("f p", [True, False]),
        ("d f", [False, True]),
        ("d pf", [False, True]),
        ("pf d", [True, False]),
        ("p pf", [False, False]),
    ],
)
def test_those_that_others_need_to_find_turns_find_them(owners, wrapped):
    """The first is left as it is wherever that is possible."""
    known = {"p": TurnOwner.PROVIDER, "f": TurnOwner.FRAMEWORK, "d": TurnOwner.DUPLEX}
    given = [
        ScriptedProvider(capabilities=Capabilities(turn_owners=tuple(known[one] for one in each)))
        for each in owners.split()
    ]
    made = agreeing(given, ScriptedVad)
    assert [isinstance(one, SelfTurning) for one in made] == wrapped


# ── in a session ────────────────────────────────────────────────────────────────────────────


class Counts:
    """An agent that counts to ten, and keeps what it knew."""

    def __init__(self):
        self.knew = []

    async def respond(self, turn):
        """Ten words."""
        self.knew.append([one.text for one in turn.history if isinstance(one, Message)])
        yield LONG


def talk(wrap, act):
    """A call over the cascade, as it is or wrapped."""
    caller, trace, agent = ScriptedCaller(), Trace(), Counts()

    async def scene():
        inner = Cascade(ScriptedStt(delay_ms=50), agent, ScriptedTts(delay_ms=30))
        session = VoiceSession(s2s=wrap(inner), line=caller, vad=ScriptedVad(), observers=[trace])
        async with session, caller.on(session):
            await act(caller)
            return caller.heard, [one.text for one in session.history], caller.sounds_ms

    return *simulate(scene), trace, agent


async def barge_in(caller):
    """Ask, and interrupt the answer."""
    await caller.say("what time is it")
    await asyncio.sleep(1.5)
    await caller.say("no wait please")
    await asyncio.sleep(4)


def test_a_session_over_it_is_as_one_that_finds_the_turns():
    """The same words, and the same is heard, also by the agent.

    After an interruption the answer is later by the recogniser's time: a session that finds the
    turns asks for the words in the pause, to know whether there are any.
    """
    heard, history, sounds, trace, agent = talk(
        lambda inner: SelfTurning(inner, ScriptedVad), barge_in
    )
    ours, our_history, our_sounds, our_trace, our_agent = talk(lambda inner: inner, barge_in)
    assert (heard, history, agent.knew) == (ours, our_history, our_agent.knew)
    assert sounds[0] == our_sounds[0]
    assert sounds[1][0] == our_sounds[1][0] + 50
    assert trace.at_ms(BargedIn) == our_trace.at_ms(BargedIn)
    assert [one.heard_ms for one in trace.of(AgentResponseEnded)] == [
        one.heard_ms for one in our_trace.of(AgentResponseEnded)
    ]
    assert len(trace.of(UserSpeechStarted)) == 2
