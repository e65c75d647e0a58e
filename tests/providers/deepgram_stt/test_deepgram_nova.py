"""Listening with Nova: segments become utterances, whatever the service does by itself."""

import asyncio

import pytest

from beluga_voice.events import (
    DropUtterance,
    EndOfTurnLikely,
    ErrorCategory,
    LinkClosed,
    LinkReady,
    SendAudio,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    Usage,
    UsageReported,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.emulators.deepgram_session import Quirks
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.speech import silence
from providers.deepgram_stt.deepgram_stage import LONG, desk, listener


def test_an_utterance_is_told_while_it_is_spoken_and_when_it_ends():
    """Interims hold all the words so far; the final one names the utterance, and comes at once."""

    async def scene():
        async with desk() as on:
            await on.say("one two three")
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.events, on.finals, on.interims, on.orders

    events, finals, interims, orders = simulate(scene)
    assert events[0] == LinkReady(model="nova-3")
    assert SpeechStarted() in events
    assert interims == ["one", "one two", "one two three"]
    assert finals == [("a", "one two three")]
    assert orders == ["Finalize"]


def test_words_have_their_times_from_the_start_of_the_utterance():
    """Times on the wire count from the start of the connection, ours from the first sound."""

    async def scene():
        async with desk(options=SttOptions(wants_words=True)) as on:
            for name in ("a", "b"):
                await on.say("one two")
                on.finish(name)
                await asyncio.sleep(5)
            return [one for one in on.of(Transcript) if one.is_final]

    first, second = simulate(scene)
    assert [(word.text, word.start, word.end) for word in second.words] == [
        ("one", 0, 3200),
        ("two", 3200, 6400),
    ]
    assert first.words == second.words
    assert first.confidence == pytest.approx(0.9)
    assert first.words[0].confidence == 0.9


@pytest.mark.parametrize("most", [1, 2])
def test_what_the_service_finalises_by_itself_stays_at_the_front(most):
    """An utterance may be settled window by window; nothing of it is told twice or lost."""

    async def scene():
        quirks = Quirks(settles_after_words=most, repeats_finals=True)
        async with desk(quirks=quirks, options=SttOptions(wants_words=True)) as on:
            await on.say(LONG)
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.of(Transcript), on.interims

    told, interims = simulate(scene)
    final = told[-1]
    assert (final.text, final.is_final) == (LONG, True)
    assert [word.start for word in final.words] == list(range(0, 32000, 3200))
    assert all(LONG.startswith(text) for text in interims)


def test_older_models_give_other_readings():
    """Those of the final words alone, likeliest first, and as many as are wanted at most."""

    async def scene():
        async with desk(listener("base"), options=SttOptions(alternatives=3)) as on:
            await on.say("one two three")
            on.finish("a")
            await asyncio.sleep(0.001)
            on.finish("b")
            await asyncio.sleep(10)
            return on.of(Transcript), on.session.query.one("alternatives")

    (*interims, final, empty), asked = simulate(scene)
    assert asked == "3"
    assert final.alternatives == ("one two", "one three")
    assert (empty.text, empty.alternatives) == ("", ())
    assert all(one.alternatives == () for one in interims)


def test_other_readings_of_an_utterance_in_windows_are_of_all_of_it():
    """The second of each window, then the third; where one has none, its words are the best."""

    async def scene():
        quirks = Quirks(settles_after_words=2)
        options = SttOptions(alternatives=3)
        async with desk(listener("nova-general"), options=options, quirks=quirks) as on:
            await on.say("one two three four five")
            on.finish("a")
            await asyncio.sleep(10)
            return on.of(Transcript)[-1]

    final = simulate(scene)
    assert final.text == "one two three four five"
    assert final.alternatives == ("one three five", "two four five")


@pytest.mark.parametrize("answers", [True, False])
def test_an_utterance_that_was_settled_before_its_end_is_answered_at_once(answers):
    """`Finalize` may remain without an answer; then no time is lost with waiting for it."""

    async def scene():
        async with desk(quirks=Quirks(answers_empty_finalize=answers)) as on:
            await on.say("hello there")
            await on.pause(300)
            on.finish("a")
            await asyncio.sleep(0.001)
            first = list(on.finals)
            await on.say("see you")
            on.finish("b")
            await asyncio.sleep(0.001)
            return first, on.finals, on.of(SpeechStopped), on.of(EndOfTurnLikely)

    first, finals, stopped, likely = simulate(scene)
    assert first == [("a", "hello there")]
    assert finals == [("a", "hello there"), ("b", "see you")]
    assert len(stopped) == 1
    assert likely == [EndOfTurnLikely(probability=1.0)]


def test_a_tail_that_nothing_is_said_of_costs_little():
    """All but the last silence is final, and `Finalize` has no answer: it waits for 0.3 s."""

    async def scene():
        async with desk() as on:
            await on.say("hello there")
            await on.pause(500)
            on.finish("a")
            await asyncio.sleep(5)
            return on.finals, on.at(next(one for one in on.of(Transcript) if one.is_final))

    finals, at = simulate(scene)
    assert finals == [("a", "hello there")]
    assert at == 400 + 500 + 300


def test_silence_is_an_empty_utterance_in_the_end():
    """Sound without a word is answered when the service said nothing for as long as it may."""

    async def scene():
        async with desk() as on:
            await on.pause(400)
            on.finish("a")
            await asyncio.sleep(10)
            return on.finals, on.at(on.of(Transcript)[0])

    finals, at = simulate(scene)
    assert finals == [("a", "")]
    assert at == 3400


def test_no_sound_is_an_empty_utterance_at_once():
    """Nothing is asked of the service, and the order of the answers is kept."""

    async def scene():
        async with desk(pace=Pace(transcript_ms=100)) as on:
            on.finish("a")
            await asyncio.sleep(0.001)
            at_once = list(on.finals)
            on.throw("hello")
            on.finish("b")
            on.finish("c")
            await asyncio.sleep(1)
            return at_once, on.finals, on.orders

    at_once, finals, orders = simulate(scene)
    assert at_once == [("a", "")]
    assert finals == [("a", ""), ("b", "hello"), ("c", "")]
    assert orders == ["Finalize"]


def test_finals_of_the_last_utterance_come_after_the_next_began():
    """Words go to the utterance in whose sound they are, and not to the one that is spoken."""

    async def scene():
        async with desk(pace=Pace(transcript_ms=700)) as on:
            await on.say("hello there")
            on.finish("a")
            await on.say("see you soon then")
            on.finish("b")
            await asyncio.sleep(2)
            return on.finals, on.interims

    finals, interims = simulate(scene)
    assert finals == [("a", "hello there"), ("b", "see you soon then")]
    later = interims[interims.index("see") :]
    assert all("see you soon then".startswith(text) for text in later)


def test_what_was_dropped_is_not_told_even_if_it_comes_late():
    """Neither as interim nor as final words."""

    async def scene():
        async with desk(pace=Pace(transcript_ms=500)) as on:
            on.throw("forget me")
            on.send(DropUtterance())
            await on.say("see you")
            on.finish("a")
            await asyncio.sleep(2)
            return on.finals, on.interims

    finals, interims = simulate(scene)
    assert finals == [("a", "see you")]
    assert not any("forget" in text for text in interims)


def test_without_interims_there_is_only_the_end():
    """The service is asked for them all the same: they tell that it is alive."""

    async def scene():
        async with desk(options=SttOptions(wants_interim=False)) as on:
            await on.say("one two three")
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.of(Transcript), on.session.query.one("interim_results")

    (only,), asked = simulate(scene)
    assert only.text == "one two three"
    assert asked == "true"


def test_a_connection_nobody_speaks_on_is_kept_alive():
    """A message every 4 s, so that the service does not hang up after 10; none while it hears."""

    async def scene():
        async with desk() as on:
            await asyncio.sleep(21)
            await on.say("hello")
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.finals, on.orders

    finals, orders = simulate(scene)
    assert finals == [("a", "hello")]
    assert orders == ["KeepAlive"] * 5 + ["Finalize"]


def test_a_service_that_never_finalises_is_left_with_its_words():
    """The words are told as they are, then the link ends, so that another one is made."""

    async def scene():
        async with desk(quirks=Quirks(never_final=True)) as on:
            await on.say("hello there")
            on.finish("a")
            await asyncio.sleep(10)
            return on.events[-4:], on.times[-1]

    last, at = simulate(scene)
    assert [type(one) for one in last] == [Transcript, ServiceFailed, UsageReported, LinkClosed]
    assert (last[0].text, last[0].is_final) == ("hello there", True)
    assert last[1].category is ErrorCategory.TIMEOUT
    assert at == 400 + 3000


def test_speaking_on_does_not_put_off_the_end_of_an_utterance():
    """A service that tells of later words only, and never finalises, is no further with it."""

    async def scene():
        async with desk(quirks=Quirks(never_final=True)) as on:
            await on.say("hello there")
            on.finish("a")
            for name in ("b", "c", "d"):
                await on.say(LONG)
                on.finish(name)
            return on.finals[0], on.of(ServiceFailed), on.times[-1]

    first, (failed,), at = simulate(scene)
    assert first[0] == "a"
    assert failed.is_fatal
    assert 3400 <= at <= 4000


def test_a_service_that_goes_quiet_while_sound_flows_is_left():
    """After as long as was allowed; nobody's words are made up."""

    async def scene():
        faults = [Faults(stall_after_audio_ms=1000)]
        async with desk(listener(quiet_seconds=4), faults=faults) as on:
            await on.say(LONG * 2)
            await on.pause(4000)
            return on.of(ServiceFailed), on.finals, on.times[-1]

    (failed,), finals, at = simulate(scene)
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert finals == []
    assert 4800 <= at <= 5000


def test_a_service_that_goes_quiet_before_an_end_is_left():
    """An utterance of which it told too little is not answered: it belongs to another link."""

    async def scene():
        async with desk(faults=[Faults(is_mute=True)]) as on:
            await on.say(LONG)
            on.finish("a")
            await asyncio.sleep(5)
            return on.of(ServiceFailed), on.finals, on.times[-1]

    (failed,), finals, at = simulate(scene)
    assert "went quiet" in failed.message
    assert finals == []
    assert at == 2000 + 3000


def test_a_service_that_hangs_up_says_why():
    """The reason of a close frame is what can be done about it."""

    async def scene():
        faults = [Faults(drop_after_audio_ms=400, close_code=1011)]
        async with desk(faults=faults) as on:
            await on.say(LONG)
            return on.events[-3:]

    usage, failed, closed = simulate(scene)
    assert usage == UsageReported(usage=Usage(audio_seconds=0.4))
    assert (failed.category, failed.provider_code) == (ErrorCategory.RETRYABLE, "NET-0000")
    assert closed == LinkClosed(is_clean=False, reason="NET-0000", code=1011)


def test_a_lost_connection_is_an_event():
    """Without a failure that the service would have told of."""

    async def scene():
        async with desk(faults=[Faults(drop_after_audio_ms=400)]) as on:
            await on.say(LONG)
            return on.of(ServiceFailed), on.events[-1]

    failed, closed = simulate(scene)
    assert failed == []
    assert (closed.is_clean, closed.code) == (False, 1006)


def test_a_broken_message_is_reported_and_skipped():
    """Words go on after it."""

    async def scene():
        async with desk(faults=[Faults(malformed_after_audio_ms=300)]) as on:
            await on.say("one two three")
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.of(ServiceFailed), on.finals

    (failed,), finals = simulate(scene)
    assert failed.category is ErrorCategory.BENIGN
    assert finals == [("a", "one two three")]


def test_leaving_says_goodbye():
    """The service is told that the stream is over, and has nothing to complain of."""

    async def scene():
        async with desk() as on:
            await on.say("hello")
        return on.orders, on.events[-1], on.session.sent[-1]["type"]

    orders, closed, last = simulate(scene)
    assert orders == ["CloseStream"]
    assert closed == LinkClosed(is_clean=True, reason="closed by us")
    assert last == "Metadata"


def test_sound_may_come_in_any_pieces():
    """Half samples wait for their other half, and nothing is ever sent as an empty message."""

    async def scene():
        async with desk() as on:
            on.send(SendAudio(pcm=b""), SendAudio(pcm=b"\0"))
            on.send(SendAudio(pcm=b"\0\0"), SendAudio(pcm=silence(100)[:-1]))
            await asyncio.sleep(0.001)
            return [one["bytes"] for one in on.session.received]

    sizes = simulate(scene)
    assert sizes == [2, 3200]


def test_words_that_stop_are_the_end_of_a_turn_too():
    """`UtteranceEnd` counts if no pause was told before it, and of both only the first does."""

    async def scene(**settings):
        async with desk(listener(**settings)) as on:
            await on.say("hello there")
            await on.pause(2000)
            return [on.at(one) for one in on.of(EndOfTurnLikely)]

    both = simulate(lambda: scene(endpointing_ms=300, utterance_end_ms=1000))
    words_only = simulate(lambda: scene(endpointing_ms=0, utterance_end_ms=1000))
    assert len(both) == 1
    assert words_only == []
