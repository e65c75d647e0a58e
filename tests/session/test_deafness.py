"""A service that takes no notice of what the person says is missed by our own ears."""

import asyncio
from dataclasses import replace

from beluga_voice.events import (
    CreateResponse,
    DeadAir,
    ErrorOccurred,
    InputTranscript,
    Interrupt,
    LinkClosed,
    LinkReady,
    Reconnected,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    Rung,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider, ScriptedVad
from beluga_voice.testing.speech import speech
from beluga_voice.testing.trace import trace

FINDS_TURNS = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,), has_input_transcript=True, has_interim_transcripts=True
)
TELLS_VOICES = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,), has_input_transcript=True, has_speech_events=True
)
DUPLEX = Capabilities(turn_owners=(TurnOwner.DUPLEX,), can_request_response=True)
UTTERANCE = UtteranceId("u1")


def answer(link, text, name="r1"):
    """Say something, as fast as it can be sent."""
    response_id = ResponseId(name)
    link.emit(ResponseStarted(response_id=response_id))
    for word in speech(text, rate=24000):
        link.emit(ResponseAudio(response_id=response_id, pcm=b"".join(word.frames)))
    link.emit(ResponseDone(response_id=response_id, status=ResponseStatus.COMPLETED))


def play(*scripts, scene, capabilities=FINDS_TURNS):
    """Run a scene over links of a scripted service, one after another."""

    async def run():
        caller = ScriptedCaller()
        provider = ScriptedProvider(*scripts, capabilities=capabilities)
        session = Session(provider, line=caller, detector=ScriptedVad())
        seen = trace(session)
        async with session, caller.on(session):
            await scene(session, caller)
        provider.finish()
        return seen, caller.heard, caller.sounds_ms

    return simulate(run)


async def deaf(link):
    """Take everything, and tell nothing."""
    link.emit(LinkReady())


async def says_hello(link):
    """Understand and answer what comes."""
    link.emit(LinkReady())
    await asyncio.sleep(0.2)
    again = UtteranceId("u2")
    link.emit(InputTranscript(utterance_id=again, text="who is there", is_final=True))
    answer(link, "hello", "r2")


async def asks_once(session, caller):
    await caller.say("who is there please")
    await asyncio.sleep(30)
    assert session.state is SessionState.IDLE


def test_what_one_connection_has_not_heard_is_said_to_another():
    """Six seconds after the voice there is another connection, without a tone, and an answer."""
    seen, heard, sounds = play(deaf, says_hello, scene=asks_once)
    assert seen.at_ms(DeadAir) == 6780  # the voice ended at 780
    assert len(seen.of(Reconnected)) == 1
    assert heard == "hello"
    assert len(sounds) == 1


def test_one_that_tells_of_voices_is_missed_sooner():
    """Nothing told of a voice by three seconds after it: the service does not hear."""
    seen, heard, _ = play(deaf, says_hello, scene=asks_once, capabilities=TELLS_VOICES)
    assert seen.at_ms(DeadAir) == 3780
    assert heard == "hello"


def test_one_that_noticed_the_voice_may_think_about_its_end():
    """A service that began to hear is given eight seconds; then the person is told to wait."""

    async def notices(link):
        link.emit(LinkReady())
        await asyncio.sleep(0.3)
        link.emit(SpeechStarted())

    seen, heard, sounds = play(notices, says_hello, scene=asks_once, capabilities=TELLS_VOICES)
    assert seen.at_ms(DeadAir) == 8780
    assert len(sounds) == 2
    assert heard == "hello"


def test_a_short_word_to_a_service_that_stalled_is_said_to_another():
    """It stopped in the middle of an answer, and hears nothing since: "yes" is no noise then."""

    async def stalls(link):
        link.emit(LinkReady())
        await asyncio.sleep(0.5)
        one = ResponseId("r1")
        link.emit(ResponseStarted(response_id=one))
        for word in speech("well then", rate=24000):
            link.emit(ResponseAudio(response_id=one, pcm=b"".join(word.frames)))
        await link.expect(Interrupt)

    async def scene(session, caller):
        await asyncio.sleep(15)
        await caller.say("yes")
        await asyncio.sleep(20)
        assert session.state is SessionState.IDLE

    seen, heard, _ = play(stalls, says_hello, scene=scene, capabilities=TELLS_VOICES)
    assert len(seen.of(Reconnected)) == 1
    assert heard == "well then hello"


def test_a_short_word_to_a_service_that_works_may_be_a_noise():
    """Once it has told something since the stall it is trusted again."""

    async def stalls(link):
        link.emit(LinkReady())
        await asyncio.sleep(0.5)
        one = ResponseId("r1")
        link.emit(ResponseStarted(response_id=one))
        for word in speech("well then", rate=24000):
            link.emit(ResponseAudio(response_id=one, pcm=b"".join(word.frames)))
        await link.expect(Interrupt)
        await asyncio.sleep(3)
        link.emit(SpeechStarted(), SpeechStopped())

    async def scene(session, caller):
        await asyncio.sleep(25)
        await caller.say("yes")
        await asyncio.sleep(20)

    seen, _, _ = play(stalls, scene=scene, capabilities=TELLS_VOICES)
    assert seen.of(Reconnected) == []


def test_what_two_connections_do_not_hear_was_no_voice():
    """The second connection tells nothing either: nobody is kept waiting, and nothing fails."""
    seen, heard, _ = play(deaf, deaf, scene=asks_once)
    assert [one.rung for one in seen.of(DeadAir)] == [Rung.SWAP]
    assert len(seen.of(Reconnected)) == 1
    assert seen.of(ErrorOccurred) == []
    assert heard == ""


def test_a_service_that_lets_noises_pass_is_trusted():
    """Noises of 0.8 s, four times: one other connection is asked, and then no more."""

    async def scene(session, caller):
        for _ in range(4):
            await caller.noise(800)
            await asyncio.sleep(20)
        assert session.state is SessionState.IDLE

    seen, _, sounds = play(deaf, deaf, scene=scene)
    assert len(seen.of(DeadAir)) == 1
    assert (sounds, seen.of(ErrorOccurred)) == ([], [])


def test_a_cough_does_not_hide_what_was_not_heard():
    """The person says something, and coughs before the service is missed: it is missed still."""

    async def scene(session, caller):
        await caller.say("who is there please")
        await asyncio.sleep(2)
        await caller.noise(200)
        await asyncio.sleep(20)

    seen, heard, _ = play(deaf, says_hello, scene=scene)
    assert len(seen.of(Reconnected)) == 1
    assert heard == "hello"


def test_a_service_that_thinks_may_let_a_noise_pass():
    """A noise while the answer is thought about: the answer is waited for as long as ever."""

    async def thinks(link):
        link.emit(LinkReady())
        await asyncio.sleep(0.5)
        link.emit(SpeechStarted())
        await asyncio.sleep(0.7)
        link.emit(SpeechStopped())
        link.emit(InputTranscript(utterance_id=UTTERANCE, text="who is there", is_final=True))
        await asyncio.sleep(5.0)
        answer(link, "nobody")

    async def scene(session, caller):
        await caller.say("who is there please")
        await asyncio.sleep(1.0)
        await caller.noise(800)
        await asyncio.sleep(4.0)
        assert caller.heard == "nobody"

    seen, _, _ = play(thinks, scene=scene, capabilities=TELLS_VOICES)
    assert seen.of(DeadAir) == []


def test_an_answer_to_what_was_said_before_is_no_sign_of_hearing():
    """The person speaks again before an answer, which comes: what they said then is not lost."""

    async def is_behind(link):
        link.emit(LinkReady())
        await asyncio.sleep(1.0)
        link.emit(InputTranscript(utterance_id=UTTERANCE, text="who is there", is_final=True))
        await asyncio.sleep(5.0)
        answer(link, "nobody")

    async def scene(session, caller):
        await caller.say("who is there please")
        await asyncio.sleep(2.0)
        await caller.say("or here by now")
        await asyncio.sleep(12)

    seen, heard, _ = play(is_behind, says_hello, scene=scene)
    assert len(seen.of(Reconnected)) == 1
    assert heard == "nobody hello"


def test_words_that_are_being_answered_outlive_their_connection():
    """Words that were not final when the link broke stand in the history: their sound is gone."""

    async def breaks(link):
        link.emit(LinkReady())
        await asyncio.sleep(1.0)
        link.emit(InputTranscript(utterance_id=UTTERANCE, text="who is there", is_final=False))
        link.emit(ResponseStarted(response_id=ResponseId("r0")))
        await asyncio.sleep(0.5)
        link.emit(LinkClosed(is_clean=False))

    async def says_it_is_me(link):
        link.emit(LinkReady())
        answer(link, "hello")

    async def scene(session, caller):
        await caller.say("who is there please")
        await asyncio.sleep(5)
        assert [item.text for item in session.history][:1] == ["who is there"]

    seen, heard, _ = play(breaks, says_it_is_me, scene=scene)
    assert [(one.text, one.is_final) for one in seen.of(Transcription)] == [
        ("who is there", False),
        ("who is there", True),
    ]
    assert heard == "hello"


def test_an_answer_that_was_begun_is_owed():
    """A duplex model fails in its answer: it is asked for another one, on whichever connection."""

    async def fails(link):
        link.emit(LinkReady())
        await asyncio.sleep(1.5)
        failed = ResponseStatus.FAILED
        link.emit(
            ResponseStarted(response_id=ResponseId("r0")),
            ResponseDone(response_id=ResponseId("r0"), status=failed, reason="no"),
        )
        await link.expect(CreateResponse)
        answer(link, "hello")

    seen, heard, _ = play(fails, scene=asks_once, capabilities=DUPLEX)
    assert [one.rung for one in seen.of(DeadAir)] == [Rung.NUDGE]
    assert heard == "hello"


def test_words_that_come_long_after_the_turn_are_owed_an_answer():
    """Told 4 s late of words, the session knows that the person waits, and since when."""

    async def is_slow(link):
        link.emit(LinkReady())
        await asyncio.sleep(5.0)
        link.emit(InputTranscript(utterance_id=UTTERANCE, text="who is there", is_final=True))
        await link.expect(CreateResponse)
        answer(link, "hello")

    able = replace(FINDS_TURNS, can_request_response=True)
    seen, heard, sounds = play(is_slow, scene=asks_once, capabilities=able)
    told = [(one.rung, one.waited_ms) for one in seen.of(DeadAir)]
    # 9 s after the voice there is a tone, and 6 s after the words the service is asked.
    assert told == [(Rung.SOUND, 9000), (Rung.NUDGE, 5000 + 6000 - 780)]
    assert sounds[0][0] == 780 + 9000
    assert heard == "hello"
