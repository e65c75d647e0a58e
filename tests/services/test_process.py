"""One utterance in, its answer out, on every speech-to-speech service."""

import asyncio

import pytest

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.audio.wav import Sound
from beluga_voice.errors import Denied, LinkLost, ProviderError, Silent, WrongFormat
from beluga_voice.events import (
    EndUserTurn,
    InputTranscript,
    Message,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    Role,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.testing.emulators.speech import Calls, Fails, Faults, ScriptedBrain, Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import silence, speech, words_in
from services.places import HOST, PLACES, PORT

EVERYWHERE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
WIRED = pytest.mark.parametrize("place", [one for name, one in PLACES.items() if name != "cascade"])


def said(service, text):
    """Test speech, as the service likes it best."""
    rate = service.capabilities.input_formats[0].rate
    return b"".join(frame for word in speech(text, rate=rate) for frame in word.frames)


@EVERYWHERE
def test_an_utterance_is_answered(place):
    """The answer has the words of both sides, the sound, and times that fit together."""

    async def scene():
        brain = ScriptedBrain([Speaks("it is noon")])
        async with place(brain) as service:
            return await service.process(said(service, "what time is it"))

    answer = simulate(scene)
    assert answer.transcript == "what time is it"
    assert answer.text == "it is noon"
    assert words_in(answer.audio) == ["it", "is", "noon"]
    assert answer.duration_ms == 600
    assert answer.is_complete
    assert answer.tool_runs == ()
    timing = answer.timing
    assert timing.connect_ms + timing.sending_ms + timing.first_audio_ms <= timing.total_ms


@EVERYWHERE
def test_what_was_said_before_is_known(place):
    """The context reaches the mind that answers, before the question."""

    async def scene():
        brain = ScriptedBrain([Speaks("ok")])
        async with place(brain) as service:
            context = [
                Message(role=Role.USER, text="my name is Ada"),
                Message(role=Role.AGENT, text="hello Ada"),
            ]
            await service.process(said(service, "who am I"), context=context)
        known = [one for one in brain.asked[0].history if isinstance(one, Message)]
        return [one.text for one in known if one.role is not Role.SYSTEM]

    assert simulate(scene) == ["my name is Ada", "hello Ada", "who am I"]


@EVERYWHERE
def test_tools_are_run_before_the_answer(place):
    """The answer is what follows the tool's result, and the run is told."""

    async def weather(city: str) -> str:
        """Tell the weather."""
        await asyncio.sleep(0.3)
        return f"cold in {city}"

    async def scene():
        brain = ScriptedBrain([[Speaks("one moment"), Calls("weather", '{"city":"Oslo"}')]])
        async with place(brain, tools=[weather]) as service:
            return await service.process(said(service, "how is it"))

    answer = simulate(scene)
    (run,) = answer.tool_runs
    assert (run.name, run.output, run.is_error) == ("weather", "cold in Oslo", False)
    assert " ".join(words_in(answer.audio)) == "one moment cold in Oslo"
    assert answer.text.split() == ["one", "moment", "cold", "in", "Oslo"]


@EVERYWHERE
def test_a_long_utterance_arrives_whole(place):
    """A minute of speech loses no word, and is sent faster than it was spoken where that may be."""
    text = " ".join(["one", "two", "three", "four", "five"] * 60)

    async def scene():
        async with place(lambda asked: Speaks("thanks")) as service:
            return await service.process(said(service, text))

    answer = simulate(scene)
    assert answer.transcript == text
    assert answer.text == "thanks"


@WIRED
def test_any_recording_is_taken(place):
    """A recording in stereo, in floats, at 44.1 kHz is brought into the shape the service takes."""

    async def scene():
        import numpy as np

        wave = np.sin(np.arange(44100) * 0.05).astype("<f4") * 0.3
        sound = Sound(
            format=AudioFormat(Encoding.FLOAT32, 44100, 2),
            data=np.stack([wave, wave], axis=1).tobytes(),
        )
        async with place(lambda asked: Speaks("nice tone")) as service:
            return await service.process(sound)

    assert simulate(scene).text == "nice tone"


@EVERYWHERE
@pytest.mark.parametrize(("pcm", "problem"), [(b"", "no sound"), (b"abc", "half|inside")])
def test_sound_that_is_none_is_refused(place, pcm, problem):
    """Empty sound and half samples are refused before anything is connected."""

    async def scene():
        async with place(lambda asked: Speaks("never")) as service:
            await service.process(pcm)

    with pytest.raises(WrongFormat, match=problem):
        simulate(scene)


@WIRED
def test_a_connection_that_breaks_is_an_error(place):
    """A link that dies in mid-answer raises, and does not give half an answer."""

    async def scene():
        async with place(
            lambda asked: Speaks("one two three four five"),
            faults=[Faults(drop_after_audio_ms=400)],
        ) as service:
            await service.process(said(service, "hello"))

    with pytest.raises(LinkLost, match="ended before its answer was whole"):
        simulate(scene)


@WIRED
def test_a_service_that_stalls_is_an_error_in_time(place):
    """An answer that stops coming ends at the time allowed, or tells that it is not complete."""

    async def scene():
        loop = asyncio.get_running_loop()
        faults = [Faults(stall_after_audio_ms=400)]
        async with place(lambda asked: Speaks("one two three four"), faults=faults) as service:
            try:
                answer = await service.process(said(service, "hello"), timeout_seconds=7)
            except Silent as error:
                assert 7 <= loop.time() < 8
                return str(error)
            return answer

    came = simulate(scene)
    if isinstance(came, str):
        assert "no whole answer within 7 s" in came
    else:
        assert (came.is_complete, words_in(came.audio)) == (False, ["one", "two"])


@WIRED
def test_a_refused_key_is_an_error(place):
    """A handshake that is refused raises what it means."""

    async def scene():
        faults = [Faults(refuse_status=401)]
        async with place(lambda asked: Speaks("never"), faults=faults) as service:
            await service.process(said(service, "hello"))

    with pytest.raises(Denied):
        simulate(scene)


@EVERYWHERE
def test_silence_is_answered_by_whoever_likes_to(place):
    """Sound without words ends in an answer, or in none, within the time allowed."""

    async def scene():
        async with place(lambda asked: Speaks("hello")) as service:
            try:
                answer = await service.process(silence(1000), rate=16000, timeout_seconds=10)
            except Silent:
                return ""
            return answer.text

    assert simulate(scene) in ("", "hello")


def test_a_failed_response_is_an_error():
    """What the service says about its failure is in the error."""

    async def scene():
        async with PLACES["openai_realtime"](ScriptedBrain([Fails()])) as service:
            await service.process(said(service, "hello"))

    with pytest.raises(ProviderError, match="server_error"):
        simulate(scene)


@WIRED
def test_a_cancelled_question_leaves_nothing(place):
    """Cancelling in mid-answer closes the connection; the simulation finds no task left."""

    async def scene():
        faults = [Faults(stall_after_audio_ms=200)]
        async with place(lambda asked: Speaks("one two three"), faults=faults) as service:
            task = asyncio.create_task(service.process(said(service, "a b c d e f g h")))
            await asyncio.sleep(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    simulate(scene)


@EVERYWHERE
def test_a_service_that_can_be_used_is_healthy(place):
    """Health is an attempt to connect, with the time it took."""

    async def scene():
        async with place(lambda asked: Speaks("never")) as service:
            return await service.health()

    health = simulate(scene)
    assert (health.is_healthy, health.error) == (True, None)
    assert health.connect_ms >= 0


@WIRED
@pytest.mark.parametrize(
    ("faults", "problem", "milliseconds"),
    [
        (Faults(refuse_status=401), Denied, 0),
        (Faults(refuse_status=503), ProviderError, 0),
        (Faults(is_mute=True), Silent, 3000),
    ],
)
def test_what_keeps_a_service_from_being_used_is_told(place, faults, problem, milliseconds):
    """An unhealthy service is an answer with the error in it, within the time allowed."""

    async def scene():
        async with place(lambda asked: Speaks("never"), faults=[faults]) as service:
            return await service.health(timeout_seconds=3)

    health = simulate(scene)
    assert not health.is_healthy
    assert isinstance(health.error, problem)
    assert health.connect_ms == milliseconds


def test_where_nobody_listens():
    """A refused connection is told with the address that was tried."""

    async def scene():
        service = s2s("openai_realtime", api_key="k", endpoint=f"ws://{HOST}:{PORT}/v1/realtime")
        return await service.health()

    health = simulate(scene)
    assert not health.is_healthy
    assert HOST in str(health.error)


def test_what_comes_after_the_answer_is_too_late():
    """A tool that is called after the whole answer came is not run, and nothing is left of it."""
    ran = []

    async def late() -> str:
        """Take long."""
        ran.append(1)
        await asyncio.sleep(5)
        return "never"

    async def script(link):
        one = ResponseId("r1")
        await link.expect(StartUserTurn)
        await link.expect(EndUserTurn)
        link.emit(
            ResponseStarted(response_id=one),
            ResponseAudio(response_id=one, pcm=b"\x00\x10" * 480),
            ResponseDone(response_id=one, status=ResponseStatus.INCOMPLETE),
        )
        await asyncio.sleep(0.5)
        link.emit(ToolCalled(call_id=ToolCallId("c1"), name="late", arguments="{}"))
        await asyncio.sleep(0.5)
        words = InputTranscript(utterance_id=UtteranceId("u1"), text="hello", is_final=True)
        link.emit(words)

    async def scene():
        able = Capabilities(has_tools=True, has_input_transcript=True)
        provider = ScriptedProvider(script, capabilities=able)
        answer = await s2s(provider, tools=[late]).process(silence(200), rate=16000)
        provider.finish()
        return answer

    answer = simulate(scene)
    assert (answer.transcript, answer.is_complete) == ("hello", False)
    assert (answer.tool_runs, ran) == ((), [])
