"""Calls whose services die in the middle of a word or a sentence, to the millisecond."""

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from beluga_voice.agents.functions import agent_of
from beluga_voice.events import (
    AgentResponseEnded,
    ErrorOccurred,
    Message,
    Reconnected,
    Reconnecting,
    Role,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.resilience.breaker import BreakerSettings
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.notices import Switched
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import trace
from resilience.parts import Recogniser, Voice

LONG = "one two three four five six seven eight nine ten"
CONNECT_MS = 80


def guarded(part):
    """With deadlines of half a second, and a breaker that stays out of it."""
    return Guarded(
        part,
        progress=ProgressSettings(final_ms=500, audio_ms=500),
        breaker=BreakerSettings(minimum_calls=1000),
    )


class Call:
    """A caller, and a session over a cascade of which each part has a stand-in."""

    def __init__(self, *, rest_seconds=30, **tts):
        self.rest_seconds = rest_seconds
        self.stt = [Recogniser(name, connect_ms=CONNECT_MS) for name in ("ears_a", "ears_b")]
        self.tts = [Voice(name, connect_ms=CONNECT_MS, **tts) for name in ("mouth_a", "mouth_b")]
        self.switches: list[tuple[float, Switched]] = []
        self.asked: list[str] = []
        self.caller = ScriptedCaller()

    async def answer(self, text: str) -> str:
        """Ten words, whatever is asked."""
        self.asked.append(text)
        return LONG

    def note(self, switched: Switched) -> None:
        """What the application is told."""
        self.switches.append((self.caller.now_ms, switched))

    @asynccontextmanager
    async def on(self):
        """The call."""
        shared = {
            "rest_seconds": self.rest_seconds,
            "on_switch": self.note,
        }
        self.session = Session(
            Cascade(
                Fallback(*map(guarded, self.stt), **shared),
                agent_of(self.answer),
                Fallback(*map(guarded, self.tts), **shared),
            ),
            line=self.caller,
            detector=ScriptedVad(),
            session_id="call",
        )
        self.trace = trace(self.session)
        async with self.session, self.caller.on(self.session):
            yield self

    def said(self, role: Role) -> list[str]:
        """The words of one side, by the history."""
        items = self.session.history
        return [one.text for one in items if isinstance(one, Message) and one.role is role]


async def until_ms(moment):
    """Wait for a moment of the loop's time."""
    await asyncio.sleep(moment / 1000 - asyncio.get_running_loop().time())


def play(call, deeds, until=8000):
    """Hold a call in which the deeds are done at their times, in ms from the first word."""

    async def scene():
        async with call.on():
            call.start = call.caller.now_ms
            call.caller.begin("what time is it")
            for moment, deed in deeds:
                await until_ms(call.start + moment)
                deed()
            await until_ms(call.start + until)
            call.heard = call.caller.heard
            call.first = call.caller.first_sound_ms - call.start
            call.history = call.said(Role.USER), call.said(Role.AGENT)
            call.sounds = [(a - call.start, b - call.start) for a, b in call.caller.sounds_ms]

    simulate(scene)
    return call


def test_a_call_without_failures():
    """What the others are measured against: answered 660 ms after the last word, heard whole."""
    call = play(Call(), [])
    assert (call.sounds, call.heard) == ([(1460, 3460)], LONG)
    assert call.switches == []


@pytest.mark.parametrize(
    ("at", "answered"),
    [
        (1, 1460),
        (250, 1460),
        (500, 1460),
        (790, 1460),
        (801, 1460),
        (1379, 1379 + CONNECT_MS + 50 + 30),
        (1380, 1380 + CONNECT_MS + 50 + 30),
        (1390, 1390 + CONNECT_MS + 50 + 30),
        (1429, 1429 + CONNECT_MS + 50 + 30),
    ],
)
def test_a_recogniser_that_dies_loses_no_word(at, answered):
    """The next hears it all from its beginning: the caller waits 80 ms longer, or not at all."""
    call = Call()
    play(call, [(at, lambda: call.stt[0].links[0].lose("gone"))])
    assert call.history == (["what time is it"], [LONG])
    assert (call.sounds, call.heard) == ([(answered, answered + 2000)], LONG)
    assert call.switches == [
        (call.start + at + CONNECT_MS, switched("ears_a", "ears_b", "gone")),
    ]
    assert not call.trace.of(Reconnecting)


def test_a_recogniser_that_never_finishes_is_left():
    """Without a final transcript for 500 ms, the next is asked: 580 ms later than without."""
    call = Call()
    call.stt[0].is_stuck = True
    play(call, [])
    assert (call.sounds, call.heard) == ([(1460 + 500 + CONNECT_MS, 4040)], LONG)
    reason = "ears_a: no final transcript within 500 ms"
    assert [one for _, one in call.switches] == [switched("ears_a", "ears_b", reason)]
    assert call.history == (["what time is it"], [LONG])


@pytest.mark.parametrize(
    ("frames", "sounds", "given"),
    [
        (1, [(1460, 1480), (1570, 3570)], LONG),
        (5, [(1460, 1560), (1610, 3610)], LONG),
        (10, [(1460, 3460)], "two three four five six seven eight nine ten"),
        (15, [(1460, 3560)], "two three four five six seven eight nine ten"),
        (45, [(1460, 3560)], "five six seven eight nine ten"),
        (99, [(1460, 3640)], "ten"),
        (100, [(1460, 3460)], None),
    ],
)
def test_a_voice_that_dies_is_continued_after_its_last_word(frames, sounds, given):
    """No word is lost or said twice; where 220 ms of sound were ahead, nothing is heard of it.

    A word that broke off is begun again, so that so much of it sounds twice.
    """
    call = Call()
    call.tts[0].lost_after_frames = frames
    play(call, [])
    assert (call.sounds, call.heard) == (sounds, LONG)
    assert call.tts[1].links[0].texts == ([given] if given else [])
    died = 1460 + (frames - 1) * 10
    assert call.switches == [
        (call.start + died + CONNECT_MS, switched("mouth_a", "mouth_b", "lost")),
    ]
    assert call.history == (["what time is it"], [LONG])
    assert call.trace.of(AgentResponseEnded)[0].heard_text == LONG


def test_a_voice_that_says_nothing_is_left():
    """Without a sound for 500 ms, the next is given the text: 580 ms later than without."""
    call = Call()
    call.tts[0].is_mute = True
    play(call, [])
    assert (call.sounds, call.heard) == ([(1460 - 30 + 500 + CONNECT_MS + 30, 4040)], LONG)
    assert call.asked == ["what time is it"]
    assert call.trace.of(ErrorOccurred) == [
        ErrorOccurred(
            code="timeout",
            message="mouth_a failed, mouth_b goes on: mouth_a: no sound within 500 ms",
        )
    ]


@pytest.mark.parametrize("frames", range(101, 201, 7))
def test_without_times_of_words_the_pace_of_what_was_said_before_tells_them(frames):
    """In the second answer the voice dies, and at most a word in the middle sounds twice or not."""
    call = Call(has_word_times=False)
    call.tts[0].lost_after_frames = frames

    def ask():
        call.caller.begin("and now")

    play(call, [(5000, ask)], until=12_000)
    words = call.heard.split()[10:]
    wanted = LONG.split()
    missing = [word for word in wanted if word not in words]
    twice = len(words) - len(set(words))
    assert len(missing) + twice <= 1
    assert words == sorted(words, key=wanted.index)


def test_each_part_dies_in_one_call():
    """The recogniser in mid-word and the voice in mid-sentence: the caller notices neither."""
    call = Call()
    call.tts[0].lost_after_frames = 45
    play(call, [(500, lambda: call.stt[0].links[0].lose("gone"))])
    assert (call.sounds, call.heard) == ([(1460, 3560)], LONG)
    assert call.history == (["what time is it"], [LONG])
    assert [one.following for _, one in call.switches] == ["ears_b", "mouth_b"]
    assert not call.trace.of(Reconnecting)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_lost_and_whenever_no_word_is_lost_or_said_twice(seed):
    """In three questions and answers, a part is lost every 0.2 to 1 s, or hangs: 35 times or so."""
    chance = random.Random(seed)
    call = Call(rest_seconds=0.01)
    questions = ["what time is it", "and in Oslo", "thank you"]
    deeds = [(9000, "and in Oslo"), (18_000, "thank you")]
    moment = 100
    while moment < 22_000:
        deeds.append((moment, chance.choice(["ears", "ears", "mouth", "mouth", "stuck", "mute"])))
        moment += chance.randint(200, 1000)

    def deed(what):
        def do():
            parts = call.tts if what in ("mouth", "mute") else call.stt
            opened = [one for one in parts if one.links]
            if what in questions:
                call.caller.begin(what)
            elif what == "stuck":
                parts[0].is_stuck = not parts[0].is_stuck
            elif what == "mute":
                parts[0].is_mute = not parts[0].is_mute
            else:
                chance.choice(opened).links[-1].lose("gone")

        return do

    ordered = sorted(deeds, key=lambda one: one[0])
    play(call, [(at, deed(what)) for at, what in ordered], until=32_000)
    assert call.history == (questions, [LONG] * 3)
    assert call.heard == " ".join([LONG] * 3)
    assert not call.trace.of(Reconnecting)


def test_when_both_are_lost_the_session_connects_again():
    """A cascade of which a part has no provider left is lost, and what was said is answered."""
    call = Call()

    def lose():
        call.stt[0].links[0].lose("gone")

    def lose_again():
        call.stt[1].links[0].lose("gone too")

    play(call, [(500, lose), (700, lose_again)])
    assert [one.following for _, one in call.switches] == ["ears_b", None]
    assert call.trace.at_ms(Reconnected) - call.start == 700 + 100 + 2 * CONNECT_MS
    assert (call.history, call.heard) == ((["what time is it"], [LONG]), LONG)
    assert call.sounds == [(1460, 3460)]


def switched(previous, following, reason):
    """In mid-call."""
    return Switched(previous=previous, following=following, reason=reason, is_mid_call=True)
