"""Our detectors and reducers keep the rules of ears, and sessions share what they learned."""

import asyncio
import shutil
import struct
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from beluga_voice import registry
from beluga_voice.audio.files import read_sound
from beluga_voice.audio.formats import pcm16
from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechAudio, SpeechDone
from beluga_voice.interfaces import TtsOptions
from beluga_voice.providers.noise.rates import RATES
from beluga_voice.providers.noise.webrtc import LEVELS
from beluga_voice.providers.tts.espeak import Espeak
from beluga_voice.providers.turns import smart_turn
from beluga_voice.providers.vad.silero import EnergyGate, SileroBatch, SileroVad
from beluga_voice.testing.conformance import (
    ConformanceFailure,
    EarRule,
    check_listening_turn_detector,
    check_noise_reducer,
    check_turn_detector,
    check_voice_activity,
)
from beluga_voice.testing.conformance.sounds import constant, line_of, sounds, square, voice

SENTENCE = "The doctor will see you tomorrow morning."
VADS = [
    ("energy", {}),
    ("energy", {"rate": 8000}),
    ("energy", {"rate": 48000, "frame_milliseconds": 10}),
    ("webrtc", {}),
    ("webrtc", {"rate": 8000, "frame_milliseconds": 30}),
    ("webrtc", {"rate": 48000, "mode": 3}),
    ("silero", {}),
    ("silero", {"has_gate": False}),
]
SOUND_RULES = {EarRule.NOISE_GOES, EarRule.SPEECH_STAYS}


def maker(kind, name, **settings):
    """What makes a plugin of ours."""
    return partial(registry.create, kind, name, **settings)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A sentence at 16 kHz by each synthetic voice of this machine."""

    async def speak():
        sound = b""
        options = TtsOptions(output_format=pcm16(16000))
        async with asyncio.timeout(30), Espeak().connect(options) as link:
            link.send(SpeakText(context_id=ContextId("a"), text=SENTENCE))
            link.send(FinishSpeech(context_id=ContextId("a")))
            async for event in link:
                if isinstance(event, SpeechAudio):
                    sound += event.pcm
                elif isinstance(event, SpeechDone):
                    break
        return sound

    voices = [asyncio.run(speak())]
    if shutil.which("flite"):
        for name in ("slt", "rms"):
            path = tmp_path_factory.mktemp("spoken") / "sentence.wav"
            command = ["flite", "-voice", name, "-t", SENTENCE, "-o", str(path)]
            subprocess.run(command, check=True)
            voices.append(read_sound(path).to_pcm16(16000))
    return voices


# ── voice activity ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("name", "settings"), VADS)
def test_our_detectors_of_voice_keep_the_rules(name, settings):
    """Each of them, at its rates and in its ways, with nothing left out."""
    report = check_voice_activity(maker("vad", name, **settings))
    assert set(report.kept) >= {"PROBABILITY", "RESET", "SHARED_MODEL", "STAYS_SMALL"}
    assert report.not_applicable == {}


@pytest.mark.parametrize("name", ["energy", "silero", "webrtc"])
def test_our_detectors_hear_synthetic_voices(name, spoken):
    """Whoever speaks, it is likelier speech than silence and than a quiet room."""
    for sound in spoken:
        check_voice_activity(maker("vad", name), speech=sound, only={EarRule.HEARS_SPEECH})


def test_a_line_of_a_batch_keeps_the_rules():
    """Lines that are judged together by one network keep all that a line alone does."""

    async def check():
        batch = SileroBatch(max_lines=1)
        # The loop, which does not get to run, keeps a timer of each frame: growth is not asked for.
        only = set(EarRule) - {EarRule.STAYS_SMALL}
        return check_voice_activity(batch.detector, only=only)

    report = asyncio.run(check())
    assert set(report.kept) >= {"RESET", "INSTANCES_APART", "SHARED_MODEL"}


@pytest.mark.parametrize(("name", "minutes"), [("energy", 60), ("webrtc", 60), ("silero", 5)])
def test_a_long_call_takes_no_more_memory(name, minutes):
    """An hour of frames leaves nothing behind; of the dearest, five minutes."""
    only = {EarRule.STAYS_SMALL}
    assert check_voice_activity(maker("vad", name), minutes=minutes, only=only).kept


def test_a_gate_that_remembers_the_room_is_found_out():
    """The model's state alone is not all that a detector has to forget."""

    class KeepsTheRoom(EnergyGate):
        def reset(self):
            if not hasattr(self, "_room"):
                super().reset()

    def make():
        return SileroVad(gate=KeepsTheRoom())

    with pytest.raises(ConformanceFailure) as failure:
        check_voice_activity(make)
    assert failure.value.rule is EarRule.RESET


# ── noise ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *(("webrtc", {"level": level}) for level in LEVELS),
        ("webrtc", {"rate": 44100}),
        ("rnnoise", {}),
    ],
)
def test_our_reducers_keep_the_rules(name, settings):
    """Each of them, at its levels and over a resampler, with nothing left out."""
    report = check_noise_reducer(maker("noise", name, **settings))
    assert set(report.kept) >= {"SAME_LENGTH", "NOISE_GOES", "SPEECH_STAYS", "SILENCE_STAYS"}
    assert report.not_applicable == {}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ["rnnoise", "webrtc"])
def test_our_reducers_work_at_every_rate(name, rate):
    """Resampled to the reducer's rate and back, the voice stays and the noise goes."""
    check_noise_reducer(maker("noise", name, rate=rate), only=SOUND_RULES)


@pytest.mark.parametrize("name", ["rnnoise", "webrtc"])
def test_our_reducers_let_synthetic_voices_through(name, spoken):
    """Whoever speaks, the voice stays and the noise goes."""
    for sound in spoken:
        check_noise_reducer(maker("noise", name), speech=sound, only=SOUND_RULES)


def test_an_hour_comes_out_as_long_as_it_went_in():
    """Through two resamplers and a reducer, no frame of an hour is a sample short."""
    make = maker("noise", "webrtc", rate=8000)
    assert check_noise_reducer(make, minutes=60, only={EarRule.SAME_LENGTH}).kept


# ── turns ───────────────────────────────────────────────────────────────────────────────────


def field(number, content):
    """One field of a protobuf message: a number, or bytes after their length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    """A number in groups of seven bits, lowest first."""
    groups = []
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def tensor(name, values):
    """An initialised 32-bit floating point tensor."""
    shape = b"".join(field(1, size) for size in values.shape)
    return field(5, shape + field(2, 1) + field(8, name) + field(9, values.tobytes()))


def node(kind, inputs, output, attributes=b""):
    """One step of the graph."""
    given = b"".join(field(1, name) for name in inputs)
    return field(1, given + field(2, output) + field(4, kind) + attributes)


def port(number, name, *shape):
    """An input or output of 32-bit floating point numbers."""
    sizes = b"".join(
        field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in shape
    )
    kind = field(1, field(1, 1) + field(2, sizes))
    return field(number, field(1, name) + field(2, kind))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with the inputs and outputs of Smart Turn, of 2.6 MB, which the real runtime runs.

    Field numbers are those of `onnx.proto3`. It answers by the mean of each of the 80 bands.
    """
    rng = np.random.default_rng(1)
    first = rng.normal(0, 1, (80, 8192)).astype("<f4")
    second = rng.normal(0, 0.01, (8192, 1)).astype("<f4")
    last_axis = field(5, field(1, b"axes") + field(8, 2) + field(20, 7))
    keep = field(5, field(1, b"keepdims") + field(3, 0) + field(20, 2))
    graph = (
        node(b"ReduceMean", [b"input_features"], b"bands", last_axis + keep)
        + node(b"MatMul", [b"bands", b"first"], b"wide")
        + node(b"MatMul", [b"wide", b"second"], b"odds")
        + node(b"Sigmoid", [b"odds"], b"probability")
        + field(2, b"small")
        + tensor(b"first", first)
        + tensor(b"second", second)
        + port(11, b"input_features", b"batch", 80, 800)
        + port(12, b"probability", b"batch", 1)
    )
    path = tmp_path_factory.mktemp("model") / smart_turn.FILE_NAME
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(2, 13)))
    return path


def test_silence_keeps_the_rules_of_turns():
    """Who leaves it to the silence is not asked to tell sentences apart."""
    report = check_turn_detector(maker("turns", "silence"))
    assert set(report.kept) == {"PROBABILITY", "DETERMINISTIC", "SHARED_MODEL", "STAYS_SMALL"}
    assert set(report.not_applicable) == {"WHOLE_OVER_CUT"}


def test_words_keep_the_rules_of_turns():
    """Who reads tells whole sentences from cut ones, and nothing is left out."""
    assert check_turn_detector(maker("turns", "words")).not_applicable == {}


def test_our_listening_detector_keeps_the_rules(model):
    """All of them but what only the real model could know, over the real runtime."""
    report = check_listening_turn_detector(maker("turns", f"smart_turn:{model}"))
    assert set(report.kept) >= {"PROBABILITY", "LOOKS_BACK", "CANCELLING", "SHARED_MODEL"}
    assert report.not_applicable == {"WHOLE_OVER_CUT": "no recordings were given"}


def test_a_model_for_each_session_is_found_out(model):
    """Loading the file anew for each session takes memory that the suite notices."""

    def make():
        smart_turn._load.cache_clear()  # as if nothing were shared
        return registry.create("turns", f"smart_turn:{model}")

    with pytest.raises(ConformanceFailure) as failure:
        check_listening_turn_detector(make, only={EarRule.SHARED_MODEL})
    assert failure.value.rule is EarRule.SHARED_MODEL
    smart_turn._load.cache_clear()


def test_a_hundred_sessions_load_each_model_once(model):
    """Of a process with a hundred sessions, one reads the voice model, and one the turn model."""
    code = f"""
import gc, sys
opened = []
sys.addaudithook(lambda event, given: opened.append(str(given[0])) if event == "open" else None)
from beluga_voice import VoiceSession
sessions = [VoiceSession(vad="silero", turns=["smart_turn:{model}"]) for _ in range(100)]
print(sum(name.endswith("silero_vad.onnx") for name in opened))
print(sum(type(one).__name__ == "InferenceSession" for one in gc.get_objects()))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.split()) == (0, ["1", "1"]), ran.stderr


# ── the sounds of the suites ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_the_sounds_are_what_they_are_called(rate):
    """At every rate they last two seconds or so, and are as loud as their names say."""
    every = sounds(rate)
    assert all(0.5 * rate <= len(sound) / 2 <= 2 * rate for sound in every.values())
    peaks = {name: np.abs(line_of(sound)).max() for name, sound in every.items()}
    assert peaks["silence"] == 0
    assert peaks["a quiet room"] < 200
    assert peaks["a full-scale square"] == 32768
    assert set(constant(rate)[:2]) == set(struct.pack("<h", 32767))
    assert len(set(line_of(square(rate)))) == 2
    loudness = np.sqrt(np.mean(line_of(voice(rate)) ** 2))
    assert loudness == pytest.approx(3000, rel=0.01)
