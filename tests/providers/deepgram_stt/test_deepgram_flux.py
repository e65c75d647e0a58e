"""Listening with Flux: turns of the service's become utterances of the application's."""

import asyncio

import pytest

from beluga_voice.events import (
    DropUtterance,
    EndOfTurnLikely,
    ErrorCategory,
    LinkReady,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    Transcript,
    TurnContinued,
)
from beluga_voice.interfaces import SttOptions
from beluga_voice.testing.emulators.deepgram_session import Quirks
from beluga_voice.testing.emulators.speech import Faults, Pace
from beluga_voice.testing.loop import simulate
from providers.deepgram_stt.deepgram_stage import FLUX, LONG, desk, listener


def kinds(events):
    """What the service says of turns, in order."""
    wanted = (SpeechStarted, SpeechStopped, EndOfTurnLikely, TurnContinued)
    return [one for one in events if isinstance(one, wanted)]


def test_a_turn_is_told_from_its_start_to_its_end():
    """With its words while they come, how sure the service is, and its words when it is told to."""

    async def scene():
        async with desk(listener(FLUX)) as on:
            await on.say("one two three")
            await on.pause(1000)
            on.finish("a")
            await asyncio.sleep(0.5)
            return on.events, on.finals, on.interims, on.orders

    events, finals, interims, orders = simulate(scene)
    assert events[0] == LinkReady(remote_id="request-1", model=FLUX)
    assert kinds(events) == [SpeechStarted(), SpeechStopped(), EndOfTurnLikely(probability=0.9)]
    assert interims == ["one", "one two", "one two three"]
    assert finals == [("a", "one two three")]
    assert orders == []


def test_an_utterance_ends_when_we_say_so():
    """The service is taken past its end by silence, and told to end the turn that is open."""

    async def scene():
        async with desk(listener(FLUX)) as on:
            await on.say("one two three")
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.finals, on.orders

    finals, orders = simulate(scene)
    assert finals == [("a", "one two three")]
    assert orders == ["ForceEndTurn"]


def test_words_that_are_not_transcribed_yet_are_waited_for():
    """An order to end the turn before they are would cut them off."""

    async def scene():
        async with desk(listener(FLUX)) as on:
            on.throw(LONG)
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.finals

    assert simulate(scene) == [("a", LONG)]


def test_an_eager_end_may_be_taken_back():
    """The service is nearly sure, then hears the person go on, then is sure."""

    async def scene():
        provider = listener(FLUX, eager_eot_threshold=0.4, eot_threshold=0.8)
        async with desk(provider) as on:
            await on.say("one two")
            await on.pause(400)
            await on.say("three")
            await on.pause(700)
            on.finish("a")
            await asyncio.sleep(0.5)
            return kinds(on.events), on.finals

    told, finals = simulate(scene)
    assert told == [
        SpeechStarted(),
        EndOfTurnLikely(probability=0.6, is_eager=True),
        TurnContinued(),
        EndOfTurnLikely(probability=0.6, is_eager=True),
        SpeechStopped(),
        EndOfTurnLikely(probability=0.9),
    ]
    assert finals == [("a", "one two three")]


@pytest.mark.parametrize("has_times", [True, False])
def test_an_utterance_may_hold_several_turns(has_times):
    """What the service ended by itself stays at the front; ends that come twice count once."""

    async def scene():
        quirks = Quirks(has_flux_times=has_times, repeats_finals=True)
        async with desk(listener(FLUX), quirks=quirks) as on:
            await on.say("hello there")
            await on.pause(800)
            await on.say("see you")
            on.finish("a")
            await asyncio.sleep(0.5)
            await on.say("again")
            on.finish("b")
            await asyncio.sleep(0.5)
            return on.finals, on.interims

    finals, interims = simulate(scene)
    assert finals == [("a", "hello there see you"), ("b", "again")]
    assert "hello there see you".startswith(interims[-2])


@pytest.mark.parametrize("has_times", [True, False])
def test_the_end_of_a_turn_may_come_late(has_times):
    """Its words are of the utterance in whose sound they are."""

    async def scene():
        quirks = Quirks(has_flux_times=has_times)
        async with desk(listener(FLUX), quirks=quirks, pace=Pace(transcript_ms=500)) as on:
            await on.say("hello there")
            on.finish("a")
            await on.say("see you soon")
            on.finish("b")
            await asyncio.sleep(2)
            return on.finals

    assert simulate(scene) == [("a", "hello there"), ("b", "see you soon")]


def test_words_have_times_where_the_service_gives_them():
    """They count from the start of the utterance, not of the turn, nor of the connection."""

    async def scene(has_times):
        quirks = Quirks(has_flux_times=has_times)
        options = SttOptions(wants_words=True)
        async with desk(listener(FLUX), options, quirks=quirks) as on:
            await on.say("zero")
            on.send(DropUtterance())
            await asyncio.sleep(1)
            await on.say("one two")
            on.finish("a")
            await asyncio.sleep(0.5)
            return [one for one in on.of(Transcript) if one.is_final]

    (timed,) = simulate(lambda: scene(True))
    (plain,) = simulate(lambda: scene(False))
    assert [(word.text, word.start, word.end) for word in timed.words] == [
        ("one", 0, 3200),
        ("two", 3200, 6400),
    ]
    assert (plain.text, plain.words) == ("one two", ())
    assert timed.confidence == pytest.approx(0.9)


def test_silence_is_an_empty_utterance():
    """It is answered as soon as the service has heard to its end."""

    async def scene():
        async with desk(listener(FLUX)) as on:
            await on.pause(400)
            on.finish("a")
            await asyncio.sleep(0.001)
            return on.finals, on.orders

    finals, orders = simulate(scene)
    assert finals == [("a", "")]
    assert orders == []


def test_what_was_dropped_is_not_told():
    """The turn is cut off, and its words are nobody's."""

    async def scene():
        async with desk(listener(FLUX), pace=Pace(transcript_ms=300)) as on:
            await on.say("forget me")
            on.send(DropUtterance())
            await on.say("see you")
            on.finish("a")
            await asyncio.sleep(1)
            return on.finals, on.interims

    finals, interims = simulate(scene)
    assert finals == [("a", "see you")]
    assert interims == ["forget", "see"]


def test_a_connection_nobody_speaks_on_is_kept_alive_by_silence():
    """There is no order for it, and one that is none would end the connection."""

    async def scene():
        async with desk(listener(FLUX)) as on:
            await asyncio.sleep(21)
            sizes = [one["bytes"] for one in on.session.received]
            await on.say("hello")
            on.finish("a")
            await asyncio.sleep(0.5)
            return sizes, on.finals

    sizes, finals = simulate(scene)
    assert sizes == [2560] * 5
    assert finals == [("a", "hello")]


def test_a_service_that_never_ends_a_turn_is_left_with_its_words():
    """It is given silence until the deadline, then its words are told as they are."""

    async def scene():
        async with desk(listener(FLUX, finalize_seconds=1), quirks=Quirks(never_final=True)) as on:
            await on.say("hello there")
            on.finish("a")
            await asyncio.sleep(30)
            return on.finals, on.of(ServiceFailed), on.times[-1]

    finals, (failed,), at = simulate(scene)
    assert finals == [("a", "hello there")]
    assert (failed.category, failed.is_fatal) == (ErrorCategory.TIMEOUT, True)
    assert at <= 10_000


def test_a_service_that_goes_quiet_before_an_end_is_left():
    """Nobody's words are made up."""

    async def scene():
        async with desk(listener(FLUX), faults=[Faults(stall_after_audio_ms=100)]) as on:
            await on.say(LONG)
            on.finish("a")
            await asyncio.sleep(5)
            return on.finals, on.of(ServiceFailed), on.times[-1]

    finals, (failed,), at = simulate(scene)
    assert finals == []
    assert "went quiet" in failed.message
    assert at == 2000 + 3000


def test_a_multilingual_model_says_which_language():
    """The language that was asked for is a hint."""

    async def scene():
        provider = listener("flux-general-multi")
        async with desk(provider, SttOptions(language="de-DE", phrases=("Beluga",))) as on:
            await on.say("hello")
            on.finish("a")
            await asyncio.sleep(0.5)
            return on.of(Transcript)[-1], on.session.query.values

    final, query = simulate(scene)
    assert final.language == "en"
    assert query["language_hint"] == ["de"]
    assert query["keyterm"] == ["Beluga"]
