"""Who is connected to, what a link does while its services change, and what is left behind."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from beluga_voice.errors import ConfigurationError, Denied, Unreachable, Unsupported
from beluga_voice.events import (
    CancelSpeech,
    ContextId,
    ErrorCategory,
    FinishSpeech,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechWords,
    Transcript,
)
from beluga_voice.interfaces import SttOptions, TtsOptions
from beluga_voice.resilience.adapted import Adapted
from beluga_voice.resilience.breaker import BreakerSettings
from beluga_voice.resilience.fallback import Fallback
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.hedged import Hedged
from beluga_voice.resilience.held import Held
from beluga_voice.resilience.limited import Limited
from beluga_voice.resilience.retrying import Retrying
from beluga_voice.testing.loop import running_simulation, simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import pcm_of, speech, words_in
from resilience.parts import Recogniser, Voice
from resilience.talk import Talk, finish, sound

C = ContextId("c")
LONG = "one two three four five six seven eight nine ten"


def down(name="it"):
    return Unreachable(f"{name} is down", op="connect")


async def taken(provider, *parts):
    """Who is connected to, and for how long that took, in ms."""
    before = [len(one.links) for one in parts]
    began = running_simulation().time_ms()
    async with provider.connect(SttOptions()):
        took = running_simulation().time_ms() - began
        return [
            one.name for one, count in zip(parts, before, strict=True) if len(one.links) > count
        ], took


def test_the_next_is_asked_when_one_does_not_connect():
    """For all who come within its rest, too, without asking it first."""
    one, two = Recogniser("one", down()), Recogniser("two", connect_ms=20)
    both = Fallback(one, two, rest_seconds=30)

    async def scene():
        first = await taken(both, one, two)
        second = await taken(both, one, two)
        await asyncio.sleep(30)
        return first, second, await taken(both, one, two)

    assert simulate(scene) == ((["two"], 30), (["two"], 20), (["one"], 10))
    assert one.connects_ms == [0, 30_050]


def test_one_caller_tries_what_rested_and_others_do_not():
    """Ten who come at once: one of them waits for it, nine do not notice."""
    one, two = Recogniser("one", down(), down(), connect_ms=1000), Recogniser("two", connect_ms=20)
    both = Fallback(one, two, rest_seconds=30)

    async def scene():
        await taken(both, one, two)
        await asyncio.sleep(40)
        return [
            took for _, took in await asyncio.gather(*(taken(both, one, two) for _ in range(10)))
        ]

    assert sorted(simulate(scene)) == [20] * 9 + [1020]
    assert len(one.connects_ms) == 2


def test_one_whose_breaker_is_open_costs_no_time():
    """It is not asked, and does not rest: its breaker says when it may be tried."""
    one, two = Recogniser("one", down(), connect_ms=1000), Recogniser("two", connect_ms=20)
    settings = BreakerSettings(minimum_calls=1, open_seconds=5, probes=1)
    both = Fallback(Guarded(one, breaker=settings), two, rest_seconds=1)

    async def scene():
        times = [(await taken(both, one, two))[1]]
        for seconds in (2, 1, 2):
            await asyncio.sleep(seconds)
            times.append((await taken(both, one, two))[1])
        return times

    assert simulate(scene) == [1020, 20, 20, 1000]


def test_one_that_is_guarded_inside_of_another_wrapper_is_not_guarded_twice():
    """Else its one probe would be taken twice for one caller, and its breaker never close."""
    one, two = Recogniser("one", down()), Recogniser("two")
    settings = BreakerSettings(minimum_calls=1, open_seconds=5, probes=1)
    both = Fallback(Limited(Guarded(one, breaker=settings), limit=2), two, rest_seconds=1)
    with pytest.raises(ConfigurationError, match="guarded already"):
        Guarded(Limited(Guarded(one), limit=2))

    async def scene():
        first = (await taken(both, one, two))[0]
        await asyncio.sleep(6)
        return first, (await taken(both, one, two))[0]

    assert simulate(scene) == (["two"], ["one"])


def test_one_that_is_full_is_passed_by():
    """Without a rest: the next caller may find room."""
    one, two = Recogniser("one"), Recogniser("two")
    both = Fallback(Limited(one, limit=1), two)

    async def scene():
        async with both.connect(SttOptions()):
            assert (await taken(both, one, two))[0] == ["two"]
        return (await taken(both, one, two))[0]

    assert simulate(scene) == ["one"]


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ([Denied("no", op="x"), down("two")], Unreachable),  # it may pass
        ([Denied("no", op="x"), Denied("no", op="x")], Denied),
        ([ConfigurationError("no such voice", op="x"), down()], ConfigurationError),
    ],
)
def test_where_none_connects_the_error_is_the_one_that_may_pass(errors, raised):
    """A wrong setting is told at once, and not hidden by the one that would do."""
    one, two = (Recogniser(name, error) for name, error in zip("ab", errors, strict=True))

    async def scene():
        with pytest.raises(raised):
            await taken(Fallback(one, two))
        return len(one.connects_ms + two.connects_ms)

    assert simulate(scene) == (1 if raised is ConfigurationError else 2)


def test_what_not_all_can_do_is_not_offered():
    """And is refused before anybody is connected to; formats are told to each."""
    one, two = Voice("one"), Voice("two", has_word_times=False)
    one.capabilities = replace(one.capabilities, settings=frozenset({"pitch", "is_ssml"}))
    two.capabilities = replace(two.capabilities, settings=frozenset({"is_ssml"}))
    both = Fallback(one, two)

    async def scene():
        for options in (
            TtsOptions(wants_words=True),
            TtsOptions(pitch=2.0),
            TtsOptions(is_ssml=True),  # half a document cannot be continued
        ):
            with pytest.raises(Unsupported):
                async with both.connect(options):
                    pass
        assert one.connects_ms == []
        async with both.connect(TtsOptions()):
            return one.options[0].output_format

    assert simulate(scene) == one.capabilities.output_formats[0]
    assert both.name == "one|two"


def test_each_may_be_asked_in_its_own_words():
    """The same voice has another name with each service."""
    one, two = Voice("one", down()), Voice("two")
    other = Adapted(two, lambda options: replace(options, voice="luna"))

    async def scene():
        async with Fallback(one, other).connect(TtsOptions(voice="nova")):
            pass

    simulate(scene)
    assert (one.options[0].voice, two.options[0].voice) == ("nova", "luna")


@pytest.mark.parametrize(
    ("providers", "settings"),
    [(1, {}), (2, {"rest_seconds": 0}), (2, {"kept_seconds": 0})],
)
def test_settings_that_make_no_sense_are_refused(providers, settings):
    """Before anybody connects."""
    with pytest.raises(ConfigurationError):
        Fallback(*(Recogniser() for _ in range(providers)), **settings)


# ── in mid-call ─────────────────────────────────────────────────────────────────────────────


def test_an_utterance_that_was_finished_and_not_answered_is_asked_again():
    """Two of them were open; each has its one transcript, by its own name."""
    one, two = Recogniser("one", delay_ms=400), Recogniser("two", connect_ms=100)
    talk = Talk(Fallback(one, two), SttOptions()).play(
        (0, sound("hello there")),
        (0, finish("a")),
        (100, sound("see you")),
        (0, finish("b")),
        (100, sound("and good")),
        (0, lambda: one.links[0].lose("gone")),
        (50, sound("bye")),
        (100, finish("c")),
    )
    assert talk.finals() == [
        (350, "a", "hello there"),
        (350, "b", "see you"),
        (400, "c", "and good bye"),
    ]
    (failed,) = talk.of(ServiceFailed)
    message = "one failed, two goes on: gone"
    assert failed == (300, ServiceFailed(category=ErrorCategory.RETRYABLE, message=message))
    assert talk.events[-1][1] == LinkClosed(is_clean=True)


def test_much_sound_is_told_again_by_pieces_and_what_comes_meanwhile_waits_behind_it():
    """Twenty seconds, four at a time, every 50 ms: no outbox of a wire is flooded by it."""
    one, two = Recogniser("one"), Recogniser("two", connect_ms=100, delay_ms=0)
    words = [f"w{number}" for number in range(100)]
    told = []

    def watch():
        link = two.links[0]
        told.append(len(link.received) / 32000)

    deeds = [(0, SendAudio(pcm=frame)) for word in speech(" ".join(words)) for frame in word.frames]
    talk = Talk(Fallback(one, two), SttOptions()).play(
        *deeds,
        (0, lambda: one.links[0].lose()),
        (101, watch),
        (0, sound("last")),
        (0, finish("a")),
        (50, watch),
        (50, watch),
        (50, watch),
        (50, watch),
    )
    assert told == [4, 8, 12, 16, 20]
    assert talk.finals() == [(350, "a", " ".join([*words, "last"]))]


def test_sound_beyond_what_is_kept_is_the_oldest():
    """With one second kept, five of eight words are left, and the order with them."""
    one, two = Recogniser("one"), Recogniser("two", delay_ms=0)
    deeds = [
        (0, SendAudio(pcm=pcm_of([word])))
        for word in speech("one two three four five six seven eight")
    ]
    talk = Talk(Fallback(one, two, kept_seconds=1), SttOptions()).play(
        *deeds, (0, finish("a")), (0, lambda: one.links[0].lose())
    )
    assert [text for _, _, text in talk.finals()] == ["four five six seven eight"]


def test_a_service_that_fails_again_and_again_ends_the_link():
    """Each had its turn: the link is over, and says who failed; nobody is asked twice."""
    one, two = Recogniser("one"), Recogniser("two", connect_ms=100)
    talk = Talk(Fallback(one, two), SttOptions()).play(
        (0, sound("hello")),
        (0, lambda: one.links[0].lose("gone")),
        (500, lambda: two.links[0].lose("gone as well")),
        (500, sound("too late")),
    )
    closed = talk.of(LinkClosed)
    assert [(at, one.is_clean) for at, one in closed] == [(500, False)]
    assert talk.of(ServiceFailed)[-1][1].is_fatal
    assert (len(one.connects_ms), len(two.connects_ms)) == (1, 1)


def test_one_that_rested_may_go_on_in_the_same_link():
    """A long call outlives any number of losses, if they are far enough from each other."""
    one, two = Recogniser("one"), Recogniser("two")
    talk = Talk(Fallback(one, two, rest_seconds=5), SttOptions()).play(
        (0, lambda: one.links[0].lose()),
        (6000, lambda: two.links[0].lose()),
        (6000, lambda: one.links[1].lose()),
        (100, sound("hello")),
        (0, finish("a")),
    )
    assert [text for _, _, text in talk.finals()] == ["hello"]
    assert (len(one.links), len(two.links)) == (2, 2)


def test_links_that_are_over_are_forgotten():
    """After a hundred losses, two are kept at most."""
    one, two = Recogniser("one"), Recogniser("two")
    settings = BreakerSettings(minimum_calls=1000)
    both = Fallback(
        Guarded(one, breaker=settings), Guarded(two, breaker=settings), rest_seconds=0.01
    )

    async def scene():
        async with both.connect(SttOptions()) as link:
            for _ in range(100):
                max(one.links + two.links, key=lambda link: not link._feed.is_closed).lose()
                await asyncio.sleep(0.1)
                assert len(link._opened) <= 2
        return len(one.links + two.links)

    assert simulate(scene) == 101


@pytest.mark.parametrize("error", [down(), ConfigurationError("no such model", op="x")])
def test_one_that_does_not_connect_in_mid_call_is_passed_by(error):
    """Whatever keeps it, for a person is on the line; and it is not asked again before its rest."""
    one, two, three = Recogniser("one"), Recogniser("two", error, error), Recogniser("three")
    talk = Talk(Fallback(one, two, three), SttOptions()).play(
        (0, lambda: one.links[0].lose()),
        (100, sound("hello")),
        (0, finish("a")),
        (100, lambda: three.links[0].lose()),
    )
    assert [text for _, _, text in talk.finals()] == ["hello"]
    assert talk.of(LinkClosed) == [(200, talk.events[-1][1])]
    assert len(two.connects_ms) == 1


def test_an_end_in_order_is_no_failure_but_the_conversation_goes_on():
    """A service that closes what is idle too long: the next is used, and none rests."""
    one, two = Recogniser("one"), Recogniser("two")

    def end():
        one.links[0]._feed.put(LinkClosed(is_clean=True, reason="idle"))

    both = Fallback(one, two)
    talk = Talk(both, SttOptions()).play((0, end), (100, sound("hello")), (0, finish("a")))
    assert [text for _, _, text in talk.finals()] == ["hello"]

    async def scene():
        return (await taken(both, one, two))[0]

    assert simulate(scene) == ["one"]


@pytest.mark.parametrize("pause", [100, 137, 250, 333, 405])
def test_contexts_that_are_open_go_on_and_cancelled_ones_do_not(pause):
    """Of three, one is heard whole, one is cancelled while nobody speaks, one comes later."""
    one, two = Voice("one"), Voice("two", connect_ms=100)
    a, b, c = (ContextId(name) for name in "abc")
    talk = Talk(Fallback(one, two), TtsOptions()).play(
        (0, SpeakText(context_id=a, text="one two three ")),
        (0, SpeakText(context_id=b, text="never mind")),
        (pause, lambda: one.links[0].lose()),
        (10, CancelSpeech(context_id=b)),
        (0, SpeakText(context_id=a, text="four five")),
        (0, FinishSpeech(context_id=a)),
        (200, SpeakText(context_id=c, text="six seven")),
        (0, FinishSpeech(context_id=c)),
    )
    heard = [event for _, event in talk.of(SpeechAudio)]
    words = {
        name: " ".join(words_in(b"".join(one.pcm for one in heard if one.context_id == name)))
        for name in (a, c)
    }
    assert words == {a: "one two three four five", c: "six seven"}
    assert [event.context_id for _, event in talk.of(SpeechDone)] == [a, c]
    _check_times(talk, a)


def _check_times(talk, context):
    """Words are told after their sound, in order, and where they are in it."""
    samples, last = 0, 0
    sound_so_far = bytearray()
    for _, event in talk.events:
        if isinstance(event, SpeechAudio) and event.context_id == context:
            samples += len(event.pcm) // 2
            sound_so_far += event.pcm
        elif isinstance(event, SpeechWords) and event.context_id == context:
            (word,) = event.words
            assert last <= word.start < word.end <= samples
            assert words_in(bytes(sound_so_far[word.start * 2 : word.end * 2])) == [word.text]
            last = word.end


@pytest.mark.parametrize("frames", range(1, 101, 9))
def test_a_voice_may_be_lost_anywhere(frames):
    """Every word is heard once, in its order, by whichever of three it is spoken."""
    one, two = Voice("one", lost_after_frames=frames), Voice("two", lost_after_frames=17)
    talk = Talk(Fallback(one, two, Voice("three")), TtsOptions()).play(
        (0, SpeakText(context_id=C, text=LONG)), (0, FinishSpeech(context_id=C))
    )
    assert talk.heard() == LONG
    assert len(talk.of(SpeechDone)) == 1
    _check_times(talk, C)


def test_whoever_leaves_while_it_switches_leaves_nothing():
    """The attempt to connect ends with the link."""
    one, two = Recogniser("one"), Recogniser("two", connect_ms=2000)

    async def scene():
        events = []
        async with Fallback(one, two).connect(SttOptions()) as link:
            link.attach(events.append)
            one.links[0].lose()
            await asyncio.sleep(0.5)
        assert len(asyncio.all_tasks()) == 1
        link.send(sound("too late"))
        await asyncio.sleep(5)
        return events

    assert simulate(scene) == [LinkClosed(is_clean=True)]
    assert two.links == []


def test_iterating_gives_the_same_events():
    """To the end of the link."""
    one, two = Recogniser("one"), Recogniser("two")

    async def scene():
        events = []

        async def read(link):
            async for event in link:
                events.append(event)

        async with Fallback(one, two).connect(SttOptions()) as link:
            reader = asyncio.create_task(read(link))
            link.send(sound("hello"))
            link.send(finish("a"))
            one.links[0].lose()
            await asyncio.sleep(1)
        await reader
        return [type(event) for event in events]

    assert simulate(scene) == [ServiceFailed, Transcript, LinkClosed]


def test_a_link_is_ready_once():
    """The services that come after the first say so, too; it is not passed on."""

    async def ready(link):
        link.emit(LinkReady(model="m"))

    one, two = (ScriptedProvider(ready, name=name) for name in ("one", "two"))
    talk = Talk(Fallback(one, two), SttOptions()).play(
        (100, lambda: one.links[0].emit(LinkClosed(is_clean=False, reason="gone")))
    )
    assert talk.of(LinkReady) == [(0, LinkReady(model="m"))]
    assert two.links[0].feed.is_closed


def test_what_failed_and_was_never_looked_at_is_not_reported_to_the_loop():
    """An attempt that nobody waits for any more may fail in peace."""

    async def scene():
        held = Held(Recogniser("one", down()), SttOptions())
        await asyncio.sleep(1)
        await held.close()
        return held.is_closed

    assert simulate(scene)


def test_models_are_kept_for_all_that_is_inside():
    """`warm` goes through every wrapper, to those who have anything to keep."""
    warmed = []

    class Local(Recogniser):
        @asynccontextmanager
        async def warm(self):
            warmed.append(f"{self.name} is warm")
            yield
            warmed.append(f"{self.name} is cold")

    one, two, three = Local("one"), Local("two"), Recogniser("three")
    inner = Adapted(Limited(Guarded(Retrying(one)), limit=1), lambda options: options)

    async def scene():
        async with Fallback(Hedged(inner, three), two).warm():
            warmed.append("used")

    simulate(scene)
    assert warmed == ["one is warm", "two is warm", "used", "two is cold", "one is cold"]


def test_options_of_no_kind_are_refused():
    """A provider of something else cannot be stood in for in mid-call."""

    async def scene():
        with pytest.raises(ConfigurationError, match="no such options"):
            async with Fallback(Recogniser("one"), Recogniser("two")).connect(object()):
                pass

    simulate(scene)
