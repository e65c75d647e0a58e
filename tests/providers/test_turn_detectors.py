"""Turn detectors: whether the person is done, or only pauses."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from beluga_voice import registry
from beluga_voice.errors import ConfigurationError, MissingExtra, WrongFormat
from beluga_voice.interfaces import ListeningTurnDetector
from beluga_voice.providers.turns import smart_turn
from beluga_voice.providers.turns.log_mel import log_mel
from beluga_voice.providers.turns.silence import SilenceTurns
from beluga_voice.providers.turns.smart_turn import FILE_NAME, LONGEST_SAMPLES, SmartTurn


class Runtime:
    """Stands in for the runtime: a model whose answer is how loud its input is on average."""

    def __init__(self, shape: list[Any]) -> None:
        self.shape = shape
        self.loaded: list[str] = []
        self.settings: dict[str, str] = {}
        self.given: list[NDArray[np.float32]] = []

    def SessionOptions(self) -> SimpleNamespace:  # noqa: N802  (the runtime's own name)
        return SimpleNamespace(add_session_config_entry=self.settings.__setitem__)

    def InferenceSession(self, path: str, **settings: Any) -> "Runtime":  # noqa: N802
        self.loaded.append(path)
        return self

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="input_features", shape=["batch", *self.shape])]

    def run(
        self, outputs: None, inputs: dict[str, NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        (given,) = inputs.values()
        self.given.append(given)
        return [np.array([[given.mean()]], np.float32)]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A runtime of our own, in the place of the real one."""
    stand_in = Runtime([80, 800])
    smart_turn._load.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    monkeypatch.setitem(sys.modules, "onnxruntime", stand_in)  # type: ignore[arg-type]  # a stand-in
    yield stand_in
    smart_turn._load.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file in the place of the model."""
    path = tmp_path / FILE_NAME
    path.write_bytes(b"a model")
    return path


def noise(samples: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).normal(0, 2000, samples).astype("<i2").tobytes()


def test_silence_knows_nothing() -> None:
    """It leaves the end of a turn to the silence, whatever was said."""
    detector = registry.create("turns", "silence")
    assert isinstance(detector, SilenceTurns)
    assert {detector.probability(text) for text in ("", "yes", "I would like a")} == {0.5}


def test_a_hundred_sessions_load_one_model(runtime: Runtime, model: Path) -> None:
    """However it is written, the same file is loaded once."""
    other = model.parent / "." / model.name
    detectors = [SmartTurn(model=each) for each in [model, str(model), other] * 34]
    assert len(detectors) == 102
    assert runtime.loaded == [str(model.resolve())]


def test_the_model_sees_the_last_eight_seconds(runtime: Runtime, model: Path) -> None:
    """What came before is not looked at, and shorter sound ends where the window ends."""
    detector = SmartTurn(model=model)
    last = noise(LONGEST_SAMPLES)
    assert detector.judge(noise(16000, seed=2) + last) == detector.judge(last)
    detector.judge(noise(16000))
    short = runtime.given[-1]
    assert short.shape == (1, 80, 800)
    assert short.dtype == np.float32
    # Where nothing was heard, all moments are alike.
    assert np.ptp(short[0, :, 2:698], axis=1).max() == 0
    assert np.ptp(short[0, :, 701:], axis=1).min() > 0.05


def test_empty_sound_is_judged(runtime: Runtime, model: Path) -> None:
    """Nothing at all is silence, not an error and not a number that is none."""
    assert np.isfinite(SmartTurn(model=model).judge(b""))
    assert np.isfinite(runtime.given[-1]).all()


def test_an_hour_is_judged_by_its_end(runtime: Runtime, model: Path) -> None:
    """A turn of an hour costs no more than its last eight seconds."""
    last = noise(LONGEST_SAMPLES)
    detector = SmartTurn(model=model)
    assert detector.judge(bytes(2 * 3600 * 16000) + last) == detector.judge(last)


def test_loudness_does_not_matter(runtime: Runtime, model: Path) -> None:
    """The same sound at a quarter of its level is the same to the model."""
    detector = SmartTurn(model=model)
    loud = np.frombuffer(noise(LONGEST_SAMPLES), "<i2") // 4 * 4
    quiet = (loud // 4).astype("<i2")
    assert detector.judge(loud.tobytes()) == pytest.approx(
        detector.judge(quiet.tobytes()), abs=1e-4
    )


def test_it_is_asked_without_keeping_the_loop(runtime: Runtime, model: Path) -> None:
    """While the model works, the loop goes on; many may be asked at once."""

    async def scenario() -> list[float]:
        detector: ListeningTurnDetector = registry.create("turns", f"smart_turn:{model}")
        assert (detector.rate, detector.longest_samples) == (16000, LONGEST_SAMPLES)
        asked = [asyncio.create_task(detector.probability(noise(16000, seed))) for seed in range(5)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in asked)
        return await asyncio.gather(*asked)

    found = asyncio.run(scenario())
    detector = SmartTurn(model=model)
    assert found == [detector.judge(noise(16000, seed)) for seed in range(5)]


def test_half_a_sample_is_refused(runtime: Runtime, model: Path) -> None:
    """Sound that ends inside a sample raises `WrongFormat`."""
    with pytest.raises(WrongFormat, match="3 bytes end inside"):
        SmartTurn(model=model).judge(b"abc")


def test_without_a_model_it_says_where_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No file, a wrong path and a file of something else raise, with the name and the page."""
    monkeypatch.setattr(smart_turn, "find_spec", dict[str, object]().get)
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    for given, problem in (
        (None, "is not here"),
        (tmp_path / "no", "no file"),
        (other, "not vers"),
    ):
        with pytest.raises(ConfigurationError, match=problem) as raised:
            SmartTurn(model=given)
        assert FILE_NAME in str(raised.value)
        assert "https://" in str(raised.value)


def test_another_model_is_refused(runtime: Runtime, model: Path) -> None:
    """A model that takes something else raises before it is asked."""
    runtime.shape = [128, 3000]
    with pytest.raises(ConfigurationError, match="not version 3"):
        SmartTurn(model=model)


def test_the_copy_of_another_package_is_found(
    monkeypatch: pytest.MonkeyPatch, runtime: Runtime, tmp_path: Path
) -> None:
    """Where pipecat is installed its file is taken, and pipecat is not imported."""
    folder = tmp_path / "audio" / "turn" / "smart_turn" / "data"
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(b"a model")
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(smart_turn, "find_spec", {"pipecat": spec}.get)
    SmartTurn()
    assert runtime.loaded == [str(folder / FILE_NAME)]
    assert "pipecat" not in sys.modules


def test_missing_runtime_names_its_extra(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    """Without the runtime the detector raises the line that installs it."""
    smart_turn._load.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"beluga-voice\[smart-turn\]"):
        SmartTurn(model=model)


@pytest.mark.parametrize(("hertz", "band"), [(100, 1), (1000, 25), (4000, 61), (7000, 76)])
def test_a_tone_is_in_its_band(hertz: int, band: int) -> None:
    """A tone is loudest in the band around it, in every moment of it, and 80 dB are told apart."""
    tone = np.sin(np.arange(16000) * (2 * np.pi * hertz / 16000))
    levels = log_mel(tone)
    assert levels.shape == (80, 100)
    assert set(np.argmax(levels[:, 1:-1], axis=0)) <= {band - 1, band, band + 1}
    assert levels.max() - levels.min() == pytest.approx(2.0, abs=1e-6)


def test_levels_stand_where_their_sound_is() -> None:
    """A click at 500 ms is heard in the moments about 500 ms and in no other."""
    click = np.zeros(16000)
    click[8000] = 1
    loud = np.flatnonzero(log_mel(click).max(axis=0) > log_mel(click).min() + 0.1)
    assert (loud[0], loud[-1]) in {(49, 51), (49, 50), (50, 51)}
