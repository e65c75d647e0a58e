"""A loud utterance of which nothing was understood: another connection is asked about it."""

import asyncio
from dataclasses import replace

import pytest

from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.errors import Unreachable
from beluga_voice.events import (
    FinishUtterance,
    LinkClosed,
    SendAudio,
    ServiceFailed,
    Transcript,
    UtteranceId,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.afresh import Afresh
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.unheard import Unheard
from beluga_voice.testing.faults import UP, Faulty, OnlySilence, When
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import pcm_of, speech
from resilience.parts import Recogniser
from resilience.talk import Talk, finish, sound

SAID = "what time is it"


def nothing(number, words):
    """No word is ever understood."""
    return [(50, "")]


def first_only(number, words):
    """One empty transcript, and no more."""
    return [(50, "")] if number == 1 else []


def never(number, words):
    """None at all."""
    return []


def remote(part):
    """As if there were a network between."""
    part.capabilities = replace(part.capabilities, is_local=False)
    return part


class Ears:
    """One service with its stand-in, or one that stands in for itself."""

    def __init__(self, is_alone, *, first=None, other=None):
        self.told = []
        one = remote(Recogniser("one", **(first or {})))
        if is_alone:
            self.services = [one]
            self.provider = Afresh(self.deaf(one), on_switch=self.told.append)
        else:
            two = remote(Recogniser("two", **(other or {})))
            self.services = [one, two]
            self.provider = Fallback(self.deaf(one), two, on_switch=self.told.append)

    def deaf(self, one):
        """The first connection, before anything is wrong with it."""
        return one

    def play(self, *deeds):
        """Do them."""
        return Talk(self.provider, SttOptions()).play(*deeds)

    @property
    def links(self):
        """All connections that there were."""
        return [link for one in self.services for link in one.links]


class DeafEars(Ears):
    """The first connection gets no sound."""

    def deaf(self, one):
        """Silence in place of it."""
        return Faulty(one, OnlySilence(direction=UP, when=When(connections=1)))


class BlankEars(Ears):
    """No connection understands anything, as when a person laughs."""

    def __init__(self, is_alone):
        super().__init__(is_alone, first={"finals": nothing}, other={"finals": nothing})


alone_or_not = pytest.mark.parametrize("is_alone", [True, False])


def asked(name, words=SAID):
    """Words, and the wish for a transcript."""
    return ((0, sound(words)), (0, finish(name)))


@alone_or_not
def test_one_that_is_deaf_is_left_for_one_that_hears(is_alone):
    """The transcript comes as much later as another one takes; the rest is the other's."""
    ears = DeafEars(is_alone)
    talk = ears.play(*asked("a"), (1000, sound("and")), (0, sound("now")), (0, finish("b")))
    assert talk.finals() == [(110, "a", SAID), (1050, "b", "and now")]
    assert [(one.reason, one.is_mid_call) for one in ears.told] == [("it understood nothing", True)]
    assert [one.is_fatal for _, one in talk.of(ServiceFailed)] == [False]
    assert len(ears.links) == 2
    assert ears.links[0]._feed.is_closed
    assert len(talk.of(LinkClosed)) <= 1


@alone_or_not
def test_nothing_is_doubted_twice_within_a_while(is_alone):
    """A person who laughs costs one question in 30 s; the first one stays, and is believed."""
    ears = BlankEars(is_alone)
    talk = ears.play(
        *asked("a"),
        (1000, sound(SAID)),
        (0, finish("b")),
        (27_000, sound(SAID)),
        (0, finish("c")),
        (3000, sound(SAID)),
        (0, finish("d")),
    )
    assert talk.finals() == [
        (110, "a", ""),
        (1050, "b", ""),
        (28_050, "c", ""),
        (31_110, "d", ""),
    ]
    assert (ears.told, talk.of(ServiceFailed)) == ([], [])
    assert len(ears.links) == 3
    assert [link._feed.is_closed for link in ears.links[1:]] == [True, True]


@alone_or_not
def test_words_that_were_understood_make_the_next_silence_worth_a_doubt(is_alone):
    """Then something may have happened to the connection."""
    understood = iter(["", "", "yes", "", ""])

    def finals(number, words):
        return [(50, next(understood))]

    ears = Ears(is_alone, first={"finals": finals}, other={"finals": finals})
    talk = ears.play(
        *asked("a"), (1000, sound(SAID)), (0, finish("b")), (1000, lambda: None), *asked("c")
    )
    assert [text for _, _, text in talk.finals()] == ["", "yes", ""]
    assert len(ears.links) == 3


@pytest.mark.parametrize(
    "frames",
    [
        [frame for word in speech("oh no") for frame in word.frames],  # 400 ms
        [b"\x20\x00" * 320] * 100,  # 60 dB below full scale
        [bytes(640)] * 100,
    ],
)
@alone_or_not
def test_what_is_short_or_low_is_no_speech_that_was_missed(frames, is_alone):
    """Its empty transcript is passed on at once."""
    ears = BlankEars(is_alone)
    talk = ears.play(*((0, SendAudio(pcm=frame)) for frame in frames), (0, finish("a")))
    assert talk.finals() == [(50, "a", "")]
    assert len(ears.links) == 1


@alone_or_not
def test_what_is_said_while_another_is_asked_is_told_once_and_in_order(is_alone):
    """Whichever of them is right."""
    more = ((20, sound("one two three")), (0, finish("b")), (5, sound("four")), (20, finish("c")))
    talk = DeafEars(is_alone).play(*asked("a"), *more)
    assert [(name, text) for _, name, text in talk.finals()] == [
        ("a", SAID),
        ("b", "one two three"),
        ("c", "four"),
    ]
    talk = BlankEars(is_alone).play(*asked("a"), *more)
    assert [(name, text) for _, name, text in talk.finals()] == [("a", ""), ("b", ""), ("c", "")]


@alone_or_not
def test_the_first_one_shows_that_it_hears(is_alone):
    """It understands the next utterance before the other one has answered: it is believed."""
    understood = iter(["", "well", "never said", "never said"])

    def finals(number, words):
        return [(50 if number < 3 else 500, next(understood))]

    ears = Ears(is_alone, first={"finals": finals}, other={"delay_ms": 500})
    talk = ears.play(*asked("a"), (20, sound("good morning to you")), (0, finish("b")))
    assert talk.finals() == [(70, "a", ""), (70, "b", "well")]
    assert ears.told == []


@alone_or_not
@pytest.mark.parametrize("problem", ["does not connect", "dies", "is silent"])
def test_an_opinion_that_cannot_be_had_is_none(is_alone, problem):
    """The first one is believed, and stays."""
    ears = BlankEars(is_alone)
    other = ears.services[-1]
    if problem == "is silent":
        other.stt._finals = first_only if is_alone else never
    deeds = {
        "does not connect": lambda: other.errors.append(Unreachable("down", op="x")),
        "dies": lambda: None,
        "is silent": lambda: None,
    }
    dies = [(75, lambda: other.links[-1].lose())] if problem == "dies" else []
    talk = ears.play((0, deeds[problem]), *asked("a"), *dies)
    late = {"does not connect": 60, "dies": 75, "is silent": 3060}
    assert talk.finals() == [(late[problem], "a", "")]
    assert not any(one.is_fatal for _, one in talk.of(ServiceFailed))
    assert len(talk.of(LinkClosed)) <= 1


@alone_or_not
@pytest.mark.parametrize("at_ms", [55, 65])
def test_one_that_dies_while_another_is_asked_is_followed_by_it(is_alone, at_ms):
    """Before it is connected to, and after: the words come, and once."""
    ears = DeafEars(is_alone)
    talk = ears.play(*asked("a"), (at_ms, lambda: ears.services[0].links[0].lose("gone")))
    assert [(name, text) for _, name, text in talk.finals()] == [("a", SAID)]
    assert not any(one.is_fatal for _, one in talk.of(ServiceFailed))


@alone_or_not
@pytest.mark.parametrize("leaves_at_ms", [49, 51, 59, 61, 80, 111])
def test_leaving_while_another_is_asked_about_it_leaves_nothing(is_alone, leaves_at_ms):
    """No connection, task or timer; the simulation would tell."""
    ears = DeafEars(is_alone)

    async def scene():
        async with ears.provider.connect(SttOptions()) as link:
            for _, command in asked("a"):
                link.send(command)
            await asyncio.sleep(leaves_at_ms / 1000)

    simulate(scene)
    assert all(link._feed.is_closed for link in ears.links)


@pytest.mark.parametrize(
    "sound_format",
    [pcm16(8000), AudioFormat(Encoding.MULAW, 8000), AudioFormat(Encoding.FLOAT32, 48000, 2)],
)
def test_loudness_is_that_of_the_sound_and_not_of_its_bytes(sound_format):
    """In every encoding; a piece that ends inside a sample is no error."""
    loud = pcm_of(speech("one two three"))
    empty = Transcript(text=" ", is_final=True, utterance_id=UtteranceId("a"))
    for pcm, is_doubted in ((loud, True), (bytes(len(loud)), False)):
        unheard = Unheard(10**7, sound_format)
        data = convert(pcm, pcm16(sound_format.rate), sound_format)
        scale = 16000 // sound_format.rate or 1
        unheard.sent(SendAudio(pcm=data * 3 * scale + b"\x00"))
        unheard.sent(FinishUtterance(utterance_id=UtteranceId("a")))
        assert unheard.doubts(empty) is is_doubted
        other = Transcript(text="", is_final=True, utterance_id=UtteranceId("b"))
        assert not unheard.doubts(other)
