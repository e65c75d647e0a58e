"""A replayed service says what it said, and a session that does as before lives the same call."""

import asyncio
import time

import pytest

from beluga_voice.errors import ConfigurationError, Misuse, Overloaded, Unreachable
from beluga_voice.events import (
    EndUserTurn,
    FinishUtterance,
    Interrupt,
    ResponseAudio,
    StartUserTurn,
    Transcript,
)
from beluga_voice.interfaces import AgentTurn, S2sOptions, SttOptions, TtsOptions
from beluga_voice.resilience.recorded import Recorded
from beluga_voice.testing.faults import (
    Delay,
    Expiry,
    Faulty,
    Hang,
    Phase,
    Refusal,
    Refused,
    Reset,
    When,
)
from beluga_voice.testing.loop import Deadlock, running_simulation, simulate
from beluga_voice.testing.recording.call import play
from beluga_voice.testing.recording.reading import read
from beluga_voice.testing.replayed import Replayed
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, Unexpected
from faults.faulty_parts import Told, converse, recognise, run, service, speak
from recording.taped import record


def story(trace):
    """What happened and when, but for the names of what services are."""
    return trace.story()


async def asked_twice(caller, _):
    """Two questions."""
    await caller.say("what time is it")
    await asyncio.sleep(5)
    await caller.say("and in Oslo")
    await asyncio.sleep(5)


async def interrupted(caller, _):
    """The person speaks while the agent does, and coughs."""
    await caller.say("what time is it")
    await asyncio.sleep(1.5)
    await caller.say("stop that please")
    await asyncio.sleep(2)
    await caller.noise(100)
    await asyncio.sleep(5)


async def coughed(caller, _):
    """The person coughs in the middle of the answer, which pauses and goes on."""
    await caller.say("what time is it")
    await asyncio.sleep(1.5)
    await caller.noise(500)
    await asyncio.sleep(6)


async def typed(caller, session):
    """The person writes, and the application has something to say."""
    await asyncio.sleep(1)
    caller.type("good evening")
    await asyncio.sleep(4)
    session.say("please hold the line")
    await asyncio.sleep(3)


async def looked_up(turn: AgentTurn):
    """Ask a tool, then say what it gave."""
    yield await turn.call_tool("look_up", '{"what": "the time"}')


async def look_up(what: str) -> str:
    """Look something up."""
    await asyncio.sleep(0.7)
    return f"{what} is later"


CALLS = {
    "one question": {},
    "two questions": {"scene": asked_twice},
    "interrupted": {"scene": interrupted},
    "coughed": {"scene": coughed},
    "typed": {"scene": typed},
    "greeted": {"session": {"greeting": "good evening"}},
    "with a tool": {"agent": looked_up, "session": {"tools": [look_up]}},
    "with interim words": {"stt": ScriptedStt(delay_ms=50, interim=True)},
}
FAULTS = {
    "slow": Delay(ms=800),
    "lost while hearing": Reset(when=When(phase=Phase.HEARING, after_ms=200, connections=1)),
    "lost while answering": Reset(when=When(phase=Phase.ANSWERING, after_events=30)),
    "expired": Expiry(when=When(phase=Phase.ANSWERED, after_ms=300, connections=1)),
    "silent": Hang(when=When(phase=Phase.AWAITED)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_replayed_call_is_the_same_to_the_millisecond(tmp_path, name):
    """The session tells the service the same, and its events come at the same times."""
    path = tmp_path / "call.jsonl"
    seen = record(path, **CALLS[name])
    call = play(path)
    assert call.mismatches == ()
    assert story(call.trace) == story(seen)
    assert len(story(seen)) > 5


@pytest.mark.parametrize("name", FAULTS)
def test_a_replayed_call_suffers_as_the_recorded_one(tmp_path, name):
    """What was lost is lost again, at the same time, and connected again likewise."""
    path = tmp_path / "call.jsonl"
    seen = record(path, FAULTS[name], scene=asked_twice)
    call = play(path)
    assert call.mismatches == ()
    replayed, recorded = story(call.trace), story(seen)
    # A call that is not over at the recorded end goes on for a while.
    assert replayed[: len(recorded) - 1] == recorded[:-1]


# ── recognisers and voices ──────────────────────────────────────────────────────────────────


def test_a_recogniser_and_a_voice_are_replayed_by_themselves(tmp_path):
    """With words that were kept, they say the same at the same times."""
    ears = Recorded(ScriptedStt(delay_ms=50, interim=True), to=tmp_path / "e", keep_words=True)
    mouth = Recorded(ScriptedTts(delay_ms=30), to=tmp_path / "m", keep_words=True, keep_audio=True)
    heard, said = run(recognise, ears, "hello you", "bye"), run(speak, mouth)
    again = Replayed(tmp_path / "e")
    assert run(recognise, again, "hello you", "bye").all[:-1] == heard.all
    again.finish()
    assert run(speak, Replayed(tmp_path / "m")).all[:-1] == said.all


def test_sound_that_was_not_kept_is_made_up_alike(tmp_path):
    """Of the same length, the same for the same, and silence for silence."""
    run(speak, Recorded(ScriptedTts(), to=tmp_path / "m"), "one two one")
    told = run(speak, Replayed(tmp_path / "m"), "one two one")
    pieces = [one.pcm for one in told.of(type(told.all[0][1]))]
    assert pieces[:10] == pieces[20:] != pieces[10:20]
    assert {len(one) for one in pieces} == {960}


# ── what is otherwise ───────────────────────────────────────────────────────────────────────


def taped(tmp_path, **settings):
    """A service that answers one turn, replayed."""
    path = tmp_path / "service.jsonl"
    run(converse, Recorded(service(), to=path))
    return Replayed(path, **settings)


def test_an_answer_follows_its_question_however_late_that_comes(tmp_path):
    """As long after it as in the recording; that is no mismatch."""
    replayed = taped(tmp_path)

    async def late():
        told = Told()
        async with replayed.connect(S2sOptions()) as link:
            link.attach(told.take)
            link.send(StartUserTurn())
            await asyncio.sleep(3)
            link.send(EndUserTurn())
            await asyncio.sleep(2)
        return told

    told = simulate(late)
    assert told.times(ResponseAudio) == [3000 + 20 * n for n in range(20)]
    replayed.finish()


@pytest.mark.parametrize(
    ("sends", "mismatches"),
    [
        (
            [StartUserTurn(), StartUserTurn(), EndUserTurn()],
            ["start_user_turn was not expected, but end_user_turn"],
        ),
        ([EndUserTurn()], ["start_user_turn did not come before end_user_turn"]),
        ([StartUserTurn(), EndUserTurn(respond=False)], ["end_user_turn has another respond"]),
        ([StartUserTurn()], ["end_user_turn did not come"]),
        (
            [StartUserTurn(), EndUserTurn(), StartUserTurn()],
            ["start_user_turn was not expected, but nothing any more"],
        ),
    ],
)
def test_what_is_told_otherwise_than_recorded_is_named(tmp_path, sends, mismatches):
    """The order, when, and on which connection; the service goes on all the same."""
    replayed = taped(tmp_path)

    async def scene():
        told = Told()
        async with replayed.connect(S2sOptions()) as link:
            link.attach(told.take)
            for one in sends:
                link.send(one)
                await asyncio.sleep(0.1)
            await asyncio.sleep(8)
        return told

    told = simulate(scene)
    assert [one.partition(": ")[2] for one in replayed.mismatches] == mismatches
    assert "on connection 1" in replayed.mismatches[0]
    assert len(told.of(ResponseAudio)) == 20
    with pytest.raises(Unexpected, match=mismatches[0]):
        replayed.finish()


def test_an_interruption_that_was_not_recorded_silences_the_response(tmp_path):
    """No more of its sound comes, as is promised of every link."""
    replayed = taped(tmp_path)

    async def stop(link):
        await asyncio.sleep(0.1)
        link.send(Interrupt(response_id="r1", heard_samples=0, heard_text=""))

    told = run(converse, replayed, during=stop)
    assert max(told.times(ResponseAudio)) <= 200
    assert [one.partition(": ")[2] for one in replayed.mismatches] == [
        "interrupt was not expected, but nothing any more"
    ]


def test_a_connection_that_was_not_recorded_does_not_come_about(tmp_path):
    """And one that was recorded and is never made is missed."""
    replayed = taped(tmp_path)
    with pytest.raises(Unexpected, match="never made"):
        replayed.finish()
    run(converse, replayed)
    with pytest.raises(Unreachable, match="1 connections"):
        run(converse, replayed)
    assert replayed.mismatches == ["connection 2 was not recorded"]


def test_connecting_fails_as_it_failed(tmp_path):
    """With the same kind of error, after the same time; what was given up hangs."""
    path = tmp_path / "ears.jsonl"
    faults = (
        Hang(when=When(phase=Phase.CONNECTING, lasting_ms=400)),
        Refusal(why=Refused.OVERLOADED, retry_after=7),
    )

    async def scene(provider):
        with pytest.raises(Overloaded) as caught:
            async with provider.connect(SttOptions()):
                pass
        return caught.value.retry_after, running_simulation().time_ms()

    provider = Recorded(Faulty(ScriptedStt(), *faults), to=path)
    assert simulate(lambda: scene(provider)) == (7, 400)
    assert simulate(lambda: scene(Replayed(path))) == (7, 400)
    hung = Recorded(
        Faulty(ScriptedStt(), Hang(when=When(phase=Phase.CONNECTING))), to=tmp_path / "hung"
    )

    async def give_up(provider):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2), provider.connect(SttOptions()):
                pass

    simulate(lambda: give_up(hung))
    simulate(lambda: give_up(Replayed(tmp_path / "hung")))
    with pytest.raises(Deadlock):
        run(recognise, Replayed(tmp_path / "hung"), "hello")


def test_a_recording_of_another_kind_of_provider_is_refused(tmp_path):
    """Before anything is said."""
    run(recognise, Recorded(ScriptedStt(), to=tmp_path / "e"), "hello")
    with pytest.raises(Misuse, match="SttOptions"):
        run(speak, Replayed(tmp_path / "e"))

    async def scene():
        async with Replayed(tmp_path / "e").connect(TtsOptions()):
            pass

    with pytest.raises(Misuse, match="TtsOptions"):
        simulate(scene)
    with pytest.raises(Misuse, match="by itself"):
        play(tmp_path / "e")
    with pytest.raises(ConfigurationError, match="cannot read"):
        Replayed(tmp_path / "nothing")


def test_a_recording_without_ears_cannot_be_played_through_a_session(tmp_path):
    """It does not tell when the person spoke; the error says what to do."""
    path = tmp_path / "service.jsonl"
    run(converse, Recorded(service(), to=path))
    assert read(path).ears is None
    with pytest.raises(Misuse, match=r"recorded\.ears"):
        play(path)


def test_a_recording_can_be_replayed_in_real_time(tmp_path):
    """On an ordinary loop it takes as long as it took."""
    path = tmp_path / "ears.jsonl"
    run(recognise, Recorded(ScriptedStt(delay_ms=50), to=path), "a", pause=0.1)

    async def scene():
        async with Replayed(path).connect(SttOptions()) as link:
            began = time.monotonic()
            events = aiter(link)
            link.send(FinishUtterance(utterance_id="u1"))
            event = await anext(events)
            return event, time.monotonic() - began

    event, seconds = asyncio.run(scene())
    assert isinstance(event, Transcript)
    assert seconds >= 0.05
