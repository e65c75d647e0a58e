"""Recordings in which the person pauses: a service that finds the turns answers them in parts."""

import asyncio

import pytest

from beluga_voice.audio.convert import Converter
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.events import (
    InputCommitted,
    InputTranscript,
    Interrupted,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    SpeechStopped,
    UtteranceId,
    WorkEnded,
    WorkId,
    WorkStarted,
)
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.services.one_turn import MORE_SECONDS, SETTLE_SECONDS
from beluga_voice.services.recording import voiced_in
from beluga_voice.services.speech_to_speech import s2s
from beluga_voice.testing.emulators.speech import Speaks
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.speech import pcm_of, silence, speech, words_in
from services.places import PLACES

EVERYWHERE = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
ABLE = Capabilities(turn_owners=(TurnOwner.PROVIDER,), has_input_transcript=True)
RATE = 16000
VOICE = pcm_of(speech("one two three four five"))
"""A second of it."""


def hush(seconds):
    """Silence."""
    return silence(int(seconds * 1000), rate=RATE)


@EVERYWHERE
def test_all_of_a_recording_is_answered(place):
    """Where a service answers each part, all its answers are the answer; else there is one."""

    async def scene():
        async with place(lambda asked: Speaks(f"re {asked.text}")) as service:
            rate = service.capabilities.input_formats[0].rate
            parts = [pcm_of(speech(text, rate=rate)) for text in ("one two", "three four")]
            return await service.process(silence(3000, rate=rate).join(parts))

    answer = simulate(scene)
    assert answer.transcript == "one two three four"
    assert answer.text.replace("re ", "") == "one two three four"
    assert " ".join(words_in(answer.audio)) == answer.text
    assert answer.is_complete


@EVERYWHERE
def test_silence_at_the_end_makes_no_one_wait(place):
    """Speech with seconds of silence after it is answered once, and no later than that."""

    async def scene():
        loop = asyncio.get_running_loop()
        async with place(lambda asked: Speaks("it is noon")) as service:
            rate = service.capabilities.input_formats[0].rate
            speaking = pcm_of(speech("what time is it", rate=rate))
            answer = await service.process(speaking + silence(4000, rate=rate))
            return answer, loop.time()

    answer, took = simulate(scene)
    assert (answer.transcript, answer.text) == ("what time is it", "it is noon")
    assert took <= 5.0


# ── exactly when ────────────────────────────────────────────────────────────────────────────


def heard(link, number):
    """The person's words."""
    name = UtteranceId(f"u{number}")
    link.emit(InputCommitted(utterance_id=name))
    link.emit(InputTranscript(utterance_id=name, text=f"part {number}", is_final=True))


def answers(link, number, text="", *, status=ResponseStatus.COMPLETED):
    """A whole response at once."""
    name = ResponseId(f"r{number}")
    link.emit(
        ResponseStarted(response_id=name),
        ResponseText(response_id=name, delta=text or f"answer {number}"),
        ResponseAudio(response_id=name, pcm=b"\x00\x10" * 240),
        ResponseDone(response_id=name, status=status),
    )


def process(script, recording, *, able=ABLE):
    """What the service answers, and when all of it was there."""

    async def follow(link):
        link.loop = asyncio.get_running_loop()
        link.until = lambda at: asyncio.sleep(at - link.loop.time())
        await script(link)

    async def scene():
        provider = ScriptedProvider(follow, capabilities=able)
        answer = await s2s(provider).process(recording, rate=RATE)
        provider.finish()
        return answer

    answer = simulate(scene)
    return answer.text, round(answer.timing.total_ms)


def test_an_answer_to_one_voice_is_whole_at_once():
    """A recording without a pause has one answer, and that is all."""

    async def script(link):
        await link.until(1.5)
        heard(link, 1)
        answers(link, 1)

    assert process(script, VOICE + hush(0.2)) == ("answer 1", 1500)


def test_an_answer_before_the_last_voice_is_a_part():
    """What began before the last voice was sent is not all; a moment after it, all was answered."""

    async def script(link):
        await link.until(1.5)
        heard(link, 1)
        answers(link, 1)
        await link.until(4.6)
        heard(link, 2)
        answers(link, 2)

    due = (4 + SETTLE_SECONDS) * 1000
    assert process(script, VOICE + hush(2) + VOICE) == ("answer 1 answer 2", due)


def test_a_late_answer_to_the_first_part_is_not_all():
    """An answer that begins after the last voice may be to the part before: the rest is heard."""

    async def script(link):
        await link.until(3.1)
        heard(link, 1)
        answers(link, 1)
        await link.until(4.5)
        heard(link, 2)
        await link.until(9)
        answers(link, 2)

    assert process(script, VOICE + hush(1) + VOICE) == ("answer 1 answer 2", 9000)


def test_a_rest_that_is_no_words_is_not_waited_for_long():
    """Where the service says nothing to the last sound, its answer to the words has to do."""

    async def script(link):
        await link.until(1.5)
        heard(link, 1)
        answers(link, 1)

    recording = VOICE + hush(2) + b"\x00\x20\x00\xe0" * 1600
    assert process(script, recording) == ("answer 1", (3.2 + MORE_SECONDS) * 1000)


def test_an_answer_that_was_broken_off_is_none():
    """A response that is taken back because the person goes on is no part of the answer."""

    async def script(link):
        await link.until(1.5)
        heard(link, 1)
        answers(link, 1)
        await link.until(3.2)
        link.emit(Interrupted(response_id=ResponseId("r1")))
        await link.until(4.6)
        heard(link, 2)
        answers(link, 2)

    due = (4 + SETTLE_SECONDS) * 1000
    assert process(script, VOICE + hush(2) + VOICE) == ("answer 2", due)


def test_a_part_that_was_not_whole_is_told():
    """If one of the answers ran into a limit, what there is is not complete."""

    async def script(link):
        await link.until(1.5)
        answers(link, 1, status=ResponseStatus.INCOMPLETE)
        await link.until(4.6)
        answers(link, 2)

    async def scene():
        async def follow(link):
            loop = asyncio.get_running_loop()
            link.until = lambda at: asyncio.sleep(at - loop.time())
            await script(link)

        able = Capabilities(turn_owners=(TurnOwner.PROVIDER,))
        service = s2s(ScriptedProvider(follow, capabilities=able))
        return await service.process(VOICE + hush(2) + VOICE, rate=RATE)

    assert not simulate(scene).is_complete


def test_work_out_of_sight_is_waited_for():
    """What is said while the provider works on the answer, such as "one moment", is not all."""

    async def script(link):
        work, one = WorkId("w1"), ResponseId("r1")
        await link.until(1.5)
        heard(link, 1)
        link.emit(
            ResponseStarted(response_id=one),
            WorkStarted(work_id=work),
            ResponseText(response_id=one, delta="one moment"),
            ResponseAudio(response_id=one, pcm=b"\x00\x10" * 240),
            ResponseDone(response_id=one, status=ResponseStatus.COMPLETED),
        )
        await link.until(20)
        link.emit(WorkEnded(work_id=work))
        await link.until(21)
        link.emit(SpeechStopped())
        await link.until(22)
        answers(link, 2, "here it is")

    assert process(script, VOICE) == ("one moment here it is", 22000)


# ── where the voice is ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", [pcm16(16000), AudioFormat(Encoding.MULAW, 8000, 1)])
@pytest.mark.parametrize(
    ("parts", "until_ms", "has_pauses"),
    [
        ([], 0, False),
        ([(0, 3000)], 0, False),
        ([(1, 1000)], 1000, False),
        ([(1, 1000), (0, 2000)], 1000, False),
        ([(0, 2000), (1, 1000), (0, 500)], 3000, False),
        ([(1, 1000), (0, 280), (1, 1000)], 2280, False),
        ([(1, 1000), (0, 300), (1, 1000)], 2300, True),
        ([(1, 1000), (0.05, 2000), (1, 500), (0.05, 1000)], 3500, True),
    ],
)
def test_the_voice_in_a_recording_is_found(shape, parts, until_ms, has_pauses):
    """Loud frames are voice, by the loudest of the recording; its end is that of a whole piece."""
    wave = b"".join(
        (int(8000 * loud).to_bytes(2, "little", signed=True) * (milliseconds * shape.rate // 1000))
        for loud, milliseconds in parts
    )
    recording = Converter(pcm16(shape.rate), shape).feed(wave)
    voiced = voiced_in(recording, shape)
    assert voiced.until == until_ms * shape.rate * shape.block_bytes // 1000
    assert voiced.has_pauses is has_pauses
