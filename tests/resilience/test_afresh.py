"""A service that stands in for itself: what hangs or dies is asked for over another connection."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from beluga_voice import VoiceSession
from beluga_voice.errors import ConfigurationError, Denied, Overloaded, Unreachable
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    FinishSpeech,
    LinkClosed,
    Reconnected,
    ServiceFailed,
    ServiceSwitched,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
)
from beluga_voice.interfaces import Resumption, S2sOptions, SttOptions, TtsOptions
from beluga_voice.resilience.afresh import Afresh, afresh
from beluga_voice.resilience.beside import AfreshSettings
from beluga_voice.resilience.budget import BudgetSettings, RetryBudget
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.limited import Limited
from beluga_voice.resilience.notices import Switched
from beluga_voice.resilience.progress import ProgressSettings
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.faults import Faulty, Hang, Phase, Reset, When, ZeroAudio
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad
from beluga_voice.testing.trace import trace
from resilience.parts import Recogniser, Voice
from resilience.talk import Talk, finish, sound

C, D = ContextId("c"), ContextId("d")
LONG = "one two three four five six seven eight nine ten"


def remote(part):
    """As if there were a network between."""
    part.capabilities = replace(part.capabilities, is_local=False)
    return part


def hanging(part, phase=Phase.AWAITED, **when):
    """Its first connection says nothing more from there."""
    return Faulty(part, Hang(when=When(phase=phase, connections=1, **when)))


def speaking(text=LONG, context_id=C):
    """The deeds that have it spoken."""
    return (
        (0, SpeakText(context_id=context_id, text=text)),
        (0, FinishSpeech(context_id=context_id)),
    )


def first_ms(talk):
    """When the first sound came."""
    return talk.of(SpeechAudio)[0][0]


class Told(list):
    """What the application is told, and when."""

    def __call__(self, switched):
        self.append((running_simulation().time_ms(), switched))


def renewal(name, reason):
    """A notice of it."""
    return Switched(previous=name, following=name, reason=reason, is_mid_call=True, is_renewal=True)


@pytest.mark.parametrize(
    ("make", "options", "deeds"),
    [
        (lambda: remote(Voice()), TtsOptions(), speaking()),
        (lambda: remote(Recogniser()), SttOptions(), [(0, sound("hello")), (0, finish("a"))]),
    ],
)
def test_a_service_that_is_well_has_one_connection(make, options, deeds):
    """And gives what it gives without the wrapper, when it gives it."""
    bare, wrapped = make(), make()
    told = Told()
    wrapper = Afresh(wrapped, on_switch=told)
    usual = Talk(bare, options).play(*deeds).events
    events = Talk(wrapper, options).play(*deeds).events
    assert [one for one in events if not isinstance(one[1], LinkClosed)] == [
        one for one in usual if not isinstance(one[1], LinkClosed)
    ]
    assert (wrapped.connects_ms, wrapped.options, told) == ([0], [options], [])
    assert (wrapper.name, wrapper.capabilities) == (bare.name, bare.capabilities)


def test_a_voice_that_hangs_is_asked_again():
    """After 3 s without a sound; connecting takes 10 ms, and speaking 30: nothing is lost."""
    voice, told = remote(Voice()), Told()
    talk = Talk(Afresh(hanging(voice), on_switch=told), TtsOptions()).play(*speaking())
    assert (first_ms(talk), talk.heard()) == (3040, LONG)
    assert len(talk.of(SpeechDone)) == 1
    # When it is known to be the one that answers; connecting at the beginning took 10.
    assert told == [(3050, renewal("mouth", "no sound within 3000 ms"))]
    assert [one.is_fatal for _, one in talk.of(ServiceFailed)] == [False]


@pytest.mark.parametrize("after_events", [1, 7, 30, 55])
def test_a_voice_that_hangs_in_mid_sentence_speaks_on_after_its_last_word(after_events):
    """3 s after its last sound; a word that broke off is begun again, and times of words fit."""
    voice = remote(Voice())
    provider = Afresh(hanging(voice, Phase.ANSWERING, after_events=after_events))
    talk = Talk(provider, TtsOptions()).play(*speaking())
    assert talk.heard() == LONG
    words = [word for _, event in talk.of(SpeechWords) for word in event.words]
    assert " ".join(word.text for word in words) == LONG
    assert all(a.end <= b.start for a, b in itertools.pairwise(words))
    assert len(voice.links) == 2


@pytest.mark.parametrize("frames", [1, 5, 11, 15, 45, 99])
def test_a_voice_that_dies_in_mid_sentence_speaks_on_after_its_last_word(frames):
    """Over another connection, which is made at once."""
    voice, told = remote(Voice()), Told()
    dies = Reset(when=When(phase=Phase.ANSWERING, after_events=frames, connections=1))
    talk = Talk(Afresh(Faulty(voice, dies), on_switch=told), TtsOptions()).play(*speaking())
    assert talk.heard() == LONG
    assert [at for at, _ in talk.of(ServiceFailed)] == [voice.connects_ms[1]]
    assert len(told) == 1


def test_a_recogniser_that_hangs_is_asked_again():
    """About all that it has not answered, and what was said while it was silent."""
    ears, told = remote(Recogniser()), Told()
    talk = Talk(Afresh(hanging(ears), on_switch=told), SttOptions()).play(
        (0, sound("hello there")),
        (0, finish("a")),
        (1000, sound("are you")),
        (0, finish("b")),
        (1990, sound("still")),
        (30, sound("there")),
        (100, finish("c")),
    )
    assert talk.finals() == [
        (3060, "a", "hello there"),
        (3060, "b", "are you"),
        (3170, "c", "still there"),
    ]
    assert [one for _, one in told] == [renewal("ears", "no final transcript within 3000 ms")]


def test_a_recogniser_that_dies_loses_no_word():
    """What was said while it was gone is told to the next connection, too."""
    ears = remote(Recogniser(connect_ms=100))
    talk = Talk(Afresh(ears), SttOptions()).play(
        (0, sound("hello")),
        (0, lambda: ears.links[0].lose("gone")),
        (50, sound("there")),
        (0, finish("a")),
    )
    assert talk.finals() == [(150, "a", "hello there")]


@pytest.mark.parametrize("delay_ms", [3005, 4000, 5990])
def test_a_slow_voice_that_is_well_is_heard_when_it_speaks(delay_ms):
    """It answers before the other connection does, which is closed; then it gets more time."""
    voice, told = remote(Voice(delay_ms=delay_ms)), Told()
    talk = Talk(Afresh(voice, on_switch=told), TtsOptions()).play(
        *speaking(), (9000, SpeakText(context_id=D, text="eleven")), (0, FinishSpeech(context_id=D))
    )
    assert (first_ms(talk), talk.heard()) == (delay_ms, f"{LONG} eleven")
    assert (told, talk.of(ServiceFailed)) == ([], [])
    assert len(voice.connects_ms) == 2
    assert all(one.feed.is_closed for one in voice.links)


def test_a_slow_recogniser_that_is_well_is_believed():
    """A transcript that comes after 4 s comes after 4 s, and once."""
    ears, told = remote(Recogniser(delay_ms=4000)), Told()
    talk = Talk(Afresh(ears, on_switch=told), SttOptions()).play(
        (0, sound("hello")), (0, finish("a")), (5000, sound("there")), (0, finish("b"))
    )
    assert talk.finals() == [(4000, "a", "hello"), (9000, "b", "there")]
    assert (len(ears.connects_ms), told) == (2, [])


def test_what_runs_here_gets_twice_as_long():
    """Asked twice, this machine would only be slower."""
    voice = Voice()
    talk = Talk(Afresh(hanging(voice)), TtsOptions()).play(*speaking())
    assert (first_ms(talk), talk.heard()) == (6040, LONG)


def test_speech_that_is_cancelled_while_two_are_asked_is_not_heard():
    """And the one that had said nothing is not asked any more."""
    voice, told = remote(Voice(delay_ms=500)), Told()
    talk = Talk(Afresh(hanging(voice), on_switch=told), TtsOptions()).play(
        *speaking(),
        (3100, CancelSpeech(context_id=C)),
        (100, SpeakText(context_id=D, text="eleven")),
        (0, FinishSpeech(context_id=D)),
    )
    assert (first_ms(talk), talk.heard()) == (3510, "eleven")  # this voice makes it from 3010 on
    assert len(voice.connects_ms) == 2
    assert [one for _, one in told] == [renewal("mouth", "no sound within 3000 ms")]


def test_a_connection_that_does_not_come_about_gets_another_beside_it():
    """After 3 s; the first that is there is used, so a slow one may be the first yet."""

    class Slow(Recogniser):
        async def begin(self, options):
            self.connect_ms = 60_000 if not self.connects_ms else 20
            await super().begin(options)

    ears = remote(Slow())

    async def scene():
        began = running_simulation().time_ms()
        async with Afresh(ears).connect(SttOptions()):
            return running_simulation().time_ms() - began

    assert simulate(scene) == 3020
    assert ears.connects_ms == [0, 3000]


def test_what_is_loaded_here_is_loaded_once():
    """However long that takes."""
    ears = Recogniser(connect_ms=9000)
    talk = Talk(Afresh(ears), SttOptions()).play((0, sound("hello")), (0, finish("a")))
    assert (talk.finals(), ears.connects_ms) == ([(50, "a", "hello")], [0])


def test_what_keeps_the_first_connection_from_coming_about_is_raised():
    """At once: whoever connects decides when to try again."""
    ears = remote(Recogniser("ears", Unreachable("down", op="x")))
    with pytest.raises(Unreachable):
        Talk(Afresh(ears), SttOptions()).play()
    assert ears.connects_ms == [0]


def test_a_service_that_dies_again_and_again_ends_the_link():
    """Three connections in place of the first, with growing pauses; then it is lost."""
    ears = remote(Recogniser())
    settings = AfreshSettings()
    pauses = []

    def lose():
        ears.links[-1].lose("gone")
        pauses.append(len(ears.links))

    talk = Talk(Afresh(ears, settings=settings), SttOptions()).play(
        (0, lose), (1000, lose), (1000, lose), (1000, lose), (100, sound("too late"))
    )
    assert pauses == [1, 2, 3, 4]
    (closed_at, closed) = talk.of(LinkClosed)[0]
    assert (closed_at, closed.is_clean) == (3000, False)
    assert talk.of(ServiceFailed)[-1][1].is_fatal
    assert "failed too often" in closed.reason


def test_losses_far_from_each_other_are_no_reason_to_end():
    """A long call outlives any number of them."""
    ears = remote(Recogniser())
    deeds = [(31_000, lambda: ears.links[-1].lose()) for _ in range(8)]
    talk = Talk(Afresh(ears), SttOptions()).play(*deeds, (50, sound("hello")), (0, finish("a")))
    assert talk.finals()[0][2] == "hello"
    assert len(ears.links) == 9


@pytest.mark.parametrize(
    ("error", "connects"),
    [
        (Denied("no", op="x"), 2),
        (Overloaded("busy", op="x", retry_after=60), 2),
        (Unreachable("down", op="x"), 4),
        (RuntimeError("a defect"), 2),
    ],
)
def test_one_that_does_not_let_us_in_again_ends_the_link(error, connects):
    """It is tried again only if that may help, and if a person would wait for so long."""
    ears = remote(Recogniser())
    talk = Talk(Afresh(ears), SttOptions()).play(
        (0, lambda: ears.errors.extend([error] * 9)), (0, lambda: ears.links[0].lose("gone"))
    )
    assert [one.is_clean for _, one in talk.of(LinkClosed)] == [False]
    assert len(ears.connects_ms) == connects


def test_one_that_lets_only_one_in_and_hangs_ends_the_link():
    """The first connection goes with the link: whoever holds it connects again, and gets in."""
    voice = remote(Voice())
    limited = Limited(hanging(voice), limit=1)
    talk = Talk(Afresh(limited), TtsOptions()).play(*speaking())
    assert [one.is_clean for _, one in talk.of(LinkClosed)] == [False]
    assert 3000 < talk.of(LinkClosed)[0][0] < 3500
    assert len(voice.connects_ms) == 1


def test_a_link_of_which_nothing_fails_has_no_task():
    """An idle session has one, and that is not ours."""
    ears = remote(ScriptedStt())

    async def scene():
        before = asyncio.all_tasks()
        async with Afresh(ears).connect(SttOptions()):
            await asyncio.sleep(10)
            return asyncio.all_tasks() - before

    assert simulate(scene) == set()


def test_a_link_that_is_left_connects_to_nothing_more():
    """Though its service tells that it closes, and takes its time."""

    class Slow(Voice):
        @asynccontextmanager
        async def connect(self, options):
            async with super().connect(options) as link:
                yield link
                link.close(is_clean=True)
                await asyncio.sleep(1)

    voice, told = remote(Slow()), Told()
    Talk(Afresh(voice, on_switch=told), TtsOptions()).play(*speaking())
    assert (voice.connects_ms, told) == ([0], [])


def test_without_a_budget_what_is_late_is_waited_for_and_what_is_lost_is_lost():
    """All who use a service share it: so a service in trouble does not get twice the load."""
    budget = RetryBudget(BudgetSettings(per_call=0, per_second=0, most=1))
    voice = remote(Voice(delay_ms=4000))
    late = Talk(Afresh(voice, budget=budget), TtsOptions()).play(*speaking())
    again = Talk(Afresh(voice, budget=budget), TtsOptions()).play(*speaking())
    assert (first_ms(late), first_ms(again)) == (4000, 4000)
    assert len(voice.connects_ms) == 3  # with the one that the token was for
    lost = remote(Recogniser())
    talk = Talk(Afresh(lost, budget=budget), SttOptions()).play((0, lambda: lost.links[0].lose()))
    assert [one.is_clean for _, one in talk.of(LinkClosed)] == [False]


def test_the_budget_is_that_of_all_who_use_a_service():
    """Ten may ask again at once, and the others wait."""
    voice = remote(Voice(delay_ms=4000))

    async def call():
        async with Afresh(voice).connect(TtsOptions()) as link:
            for _, command in speaking():
                link.send(command)
            await asyncio.sleep(5)

    async def scene():
        await asyncio.gather(*(call() for _ in range(40)))

    simulate(scene)
    assert len(voice.connects_ms) == 40 + 10


def test_speech_without_a_sound_is_asked_for_once_more():
    """Then it is believed that there is nothing to be heard."""
    voice = remote(Voice())
    once = Faulty(voice, ZeroAudio(keeps_words=False, when=When(connections=1)))
    talk = Talk(Afresh(once), TtsOptions()).play(*speaking())
    assert (talk.heard(), len(talk.of(SpeechDone))) == (LONG, 1)
    mute = Faulty(remote(Voice()), ZeroAudio(keeps_words=False))
    talk = Talk(Afresh(mute), TtsOptions()).play(*speaking(), (5000, lambda: None))
    assert (talk.heard(), len(talk.of(SpeechDone))) == ("", 1)
    assert not any(one.is_fatal for _, one in talk.of(ServiceFailed))


@pytest.mark.parametrize("leaves_at_ms", [2999, 3005, 3020, 3035, 3050])
def test_leaving_while_another_is_asked_leaves_nothing_behind(leaves_at_ms):
    """No connection, task or timer, whatever is going on; the simulation would tell."""
    voice = remote(Voice())

    async def scene():
        async with Afresh(hanging(voice)).connect(TtsOptions()) as link:
            for _, command in speaking():
                link.send(command)
            await asyncio.sleep(leaves_at_ms / 1000)

    simulate(scene)
    assert all(one.feed.is_closed for one in voice.links)


def test_links_that_are_over_are_forgotten():
    """After many losses, two are kept at most."""
    ears = remote(Recogniser())
    settings = AfreshSettings(within_seconds=0.01)

    async def scene():
        budget = RetryBudget(BudgetSettings(most=1000))
        async with Afresh(ears, settings=settings, budget=budget).connect(SttOptions()) as link:
            for _ in range(100):
                ears.links[-1].lose()
                await asyncio.sleep(0.1)
                assert len(link._opened) <= 2
        return len(ears.links)

    assert simulate(scene) == 101


def test_one_that_is_guarded_has_its_own_deadlines():
    """What its guard gives up is asked for over another connection."""
    voice = remote(Voice())
    guarded = Guarded(hanging(voice), progress=ProgressSettings(audio_ms=500))
    talk = Talk(Afresh(guarded), TtsOptions()).play(*speaking())
    assert (first_ms(talk), talk.heard()) == (540, LONG)


def test_marked_up_text_is_not_continued():
    """Half a document is none: the link is the provider's own."""
    voice = remote(Voice())
    talk = Talk(Afresh(voice), TtsOptions(is_ssml=True)).play(
        (0, SpeakText(context_id=C, text=LONG)), (200, lambda: voice.links[0].lose())
    )
    assert len(talk.of(LinkClosed)) == 1
    assert voice.connects_ms == [0]


def test_speech_to_speech_is_refused():
    """Only a session knows what was heard of it."""

    async def scene():
        async with Afresh(Recogniser()).connect(S2sOptions()):
            pass

    with pytest.raises(ConfigurationError, match="speech to text and text to speech"):
        simulate(scene)


def test_what_has_others_behind_it_does_not_stand_in_for_itself():
    """Nor is it wrapped twice."""
    both = Fallback(Voice("one"), Voice("two"))
    alone = afresh(Voice())
    assert afresh(both) is both
    assert afresh(alone) is alone
    assert alone.capabilities.resumption is Resumption.NONE


@pytest.mark.parametrize(
    "settings",
    [{"attempts": 0}, {"connect_ms": 0}, {"within_seconds": 0}, {"local_factor": 0}],
)
def test_settings_for_another_connection_that_make_no_sense_are_refused(settings):
    """Before anybody connects."""
    with pytest.raises(ConfigurationError):
        AfreshSettings(**settings)
    with pytest.raises(ConfigurationError):
        Afresh(Voice(), kept_seconds=0)


@asynccontextmanager
async def calling(stt, tts):
    """A session over lone parts, and its caller."""
    caller = ScriptedCaller()

    async def answer(text: str) -> str:
        return LONG

    session = VoiceSession(stt=stt, agent=answer, tts=tts, vad=ScriptedVad(), line=caller)
    heard = trace(session)
    async with session, caller.on(session):
        yield session, caller, heard


@pytest.mark.parametrize("part", ["stt", "tts"])
def test_a_call_over_lone_services_goes_on(part):
    """With a hung part, the answer is 3 s late; it reads as a reconnection, and as no switch."""
    ears, mouth = remote(ScriptedStt(delay_ms=50)), remote(ScriptedTts(delay_ms=30))
    stt = hanging(ears) if part == "stt" else ears
    tts = hanging(mouth) if part == "tts" else mouth

    async def scene():
        async with calling(stt, tts) as (session, caller, heard):
            await caller.say("what time is it")
            ended = caller.now_ms
            await asyncio.sleep(8)
            first = caller.first_sound_ms - ended
            return first, caller.heard, heard, session.metrics()

    first, words, heard, metrics = simulate(scene)
    assert (first, words) == (3000 + 600 + 50 + 30, LONG)
    assert len(heard.of(Reconnected)) == 1
    assert not heard.of(ServiceSwitched)
    assert (metrics.reconnections, metrics.switches) == (1, 0)
