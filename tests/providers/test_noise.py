"""Noise reduction, by RNNoise and by WebRTC."""

import asyncio
import gc
import platform
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from beluga_voice import registry
from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16
from beluga_voice.audio.framing import Framer
from beluga_voice.errors import ConfigurationError, MissingExtra, WrongFormat
from beluga_voice.events import ContextId, FinishSpeech, SpeakText, SpeechAudio, SpeechDone
from beluga_voice.interfaces import NoiseReducer, TtsOptions
from beluga_voice.providers.noise import rnnoise
from beluga_voice.providers.noise.rates import RATES, AtRate
from beluga_voice.providers.noise.rnnoise import Rnnoise
from beluga_voice.providers.noise.webrtc import LEVELS, WebRtcNoise
from beluga_voice.providers.tts.espeak import Espeak

NAMES = ("rnnoise", "webrtc")
LATEST_MS = {"rnnoise": 28, "webrtc": 14}
"""How late sound comes out at most: 20 and 6 ms, and up to 8 ms by resampling from 8 kHz."""

type Line = NDArray[np.float64]


def made(name: str, rate: int = 16000) -> NoiseReducer:
    reducer: NoiseReducer = registry.create("noise", name, rate=rate)
    return reducer


@pytest.fixture(scope="module")
def spoken() -> bytes:
    """Two sentences of the embedded voice at 24 kHz, with half a second of silence after each."""

    async def speak() -> bytes:
        pcm = bytearray(bytes(48000))
        options = TtsOptions(output_format=pcm16(24000))
        async with asyncio.timeout(30), Espeak().connect(options) as link:
            events = aiter(link)
            for text in ("My hovercraft is full of eels.", "She sells sea shells by the shore."):
                link.send(SpeakText(context_id=ContextId(text), text=text))
                link.send(FinishSpeech(context_id=ContextId(text)))
                async for event in events:
                    if isinstance(event, SpeechAudio):
                        pcm += event.pcm
                    elif isinstance(event, SpeechDone):
                        break
                pcm += bytes(24000)
        return bytes(pcm)

    return asyncio.run(speak())


def voice(spoken: bytes, rate: int) -> Line:
    """The sentences at another rate, in whole frames."""
    pcm = convert(spoken, pcm16(24000), pcm16(rate))
    sound = np.frombuffer(pcm, "<i2").astype(float)
    return sound[: len(sound) // (rate // 100) * (rate // 100)]


def moments(sound: Line, rate: int) -> Line:
    """The loudness of each 20 ms, in dB."""
    size = rate // 50
    whole = sound[: len(sound) // size * size].reshape(-1, size)
    return 10 * np.log10(np.mean(whole**2, axis=1) + 1e-9)


def reduced(reducer: NoiseReducer, sound: Line) -> Line:
    frames = Framer(2 * reducer.frame_samples)
    pcm = np.rint(sound).clip(-32768, 32767).astype("<i2").tobytes()
    parts = [reducer.process(frame) for frame in frames.feed(pcm)]
    assert {len(part) for part in parts} == {2 * reducer.frame_samples}
    return np.frombuffer(b"".join(parts), "<i2").astype(float)


def level(sound: Line) -> float:
    """The loudness in dB."""
    return 10 * float(np.log10(np.mean(sound**2) + 1e-9))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", NAMES)
def test_noise_goes_and_the_voice_stays(name: str, rate: int, spoken: bytes) -> None:
    """In the pauses noise is 6 dB or more quieter, and the voice keeps its level within 3 dB."""
    clean = voice(spoken, rate)
    # As loud in each hertz at every rate.
    noise = np.random.default_rng(1).normal(0, 200 * (rate / 16000) ** 0.5, len(clean))
    heard = reduced(made(name, rate), clean + noise)
    before, after = moments(clean, rate), moments(heard, rate)
    began = np.arange(len(before)) > 25
    quiet = np.convolve(before > 0, np.ones(9), "same") == 0
    assert after[quiet & began].mean() < moments(noise, rate)[quiet & began].mean() - 6
    assert abs(level(heard) - level(clean)) < 3


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("name", NAMES)
def test_sound_is_hardly_late(name: str, rate: int, spoken: bytes) -> None:
    """Speech comes out when it went in, but for a few milliseconds."""
    clean = voice(spoken, rate)
    heard = reduced(made(name, rate), clean)
    window = np.ones(rate // 200) / (rate // 200)
    one, other = (np.convolve(np.abs(each), window, "same") for each in (clean, heard))
    begin, end = rate, len(clean) - rate // 2
    late = [float(np.dot(one[begin:end], other[begin + by : end + by])) for by in range(rate // 20)]
    assert np.argmax(late) * 1000 / rate <= LATEST_MS[name]


@pytest.mark.parametrize("name", NAMES)
def test_silence_stays_silent(name: str) -> None:
    """Nothing comes of nothing."""
    heard = reduced(made(name), np.zeros(16000))
    assert np.abs(heard).max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_lines_do_not_hear_each_other(name: str, spoken: bytes) -> None:
    """A reducer gives what it gives alone, whatever another one is given in between."""
    sound = voice(spoken, 16000)
    sound += np.random.default_rng(1).normal(0, 400, len(sound))
    pcm = np.rint(sound).clip(-32768, 32767).astype("<i2").tobytes()
    size = 320
    alone, one, other = made(name), made(name), made(name)
    expected = [alone.process(pcm[at : at + size]) for at in range(0, len(pcm), size)]
    together: list[bytes] = []
    for at in range(0, len(pcm), size):
        together.append(one.process(pcm[at : at + size]))
        other.process(pcm[len(pcm) - at - size :][:size])
    assert together == expected


@pytest.mark.parametrize("size", [0, 318, 319, 640])
@pytest.mark.parametrize("name", NAMES)
def test_other_length_is_refused(name: str, size: int) -> None:
    """A frame of another length raises `WrongFormat`, and changes nothing."""
    reducer = made(name)
    with pytest.raises(WrongFormat, match=f"a frame of {size} bytes; 320 are due"):
        reducer.process(bytes(size))
    assert len(reducer.process(bytes(320))) == 320


@pytest.mark.parametrize("name", NAMES)
def test_other_rates_are_refused(name: str) -> None:
    """A rate at which 10 ms are no whole number of samples raises, with those that are."""
    with pytest.raises(ConfigurationError, match="it takes 8000, 16000"):
        made(name, 22050)


def test_other_levels_are_refused() -> None:
    """WebRTC has four levels."""
    for wrong in (0, 5):
        with pytest.raises(ConfigurationError, match="it takes 1, 2, 3, 4"):
            WebRtcNoise(level=wrong)


def test_a_higher_level_takes_more_away() -> None:
    """From level 1 to 4, noise alone comes out quieter and quieter."""
    noise = np.random.default_rng(1).normal(0, 400, 48000)
    left = [level(reduced(WebRtcNoise(level=each), noise)[16000:]) for each in LEVELS]
    assert left == sorted(left, reverse=True)
    assert left[0] > left[3] + 3


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("own_rate", [16000, 48000])
def test_every_frame_gives_a_frame(own_rate: int, rate: int) -> None:
    """Through a reducer that changes nothing, sound comes out whole, late by what it says."""
    calls: list[int] = []

    def nothing(frame: bytes) -> bytes:
        calls.append(len(frame))
        return frame

    stage = AtRate(nothing, own_rate=own_rate, rate=rate)
    late = stage.delay_milliseconds / 1000
    tone, delayed = (
        np.sin((np.arange(rate) / rate - by) * (2 * np.pi * 440)) * 12000 for by in (0, late)
    )
    heard = np.frombuffer(
        b"".join(
            stage.process(np.rint(part).astype("<i2").tobytes())
            for part in tone.reshape(-1, stage.frame_samples)
        ),
        "<i2",
    )
    assert calls == [2 * own_rate // 100] * 100
    middle = slice(rate // 4, 3 * rate // 4)
    assert np.abs(heard[middle] - delayed[middle]).max() < 10


def test_a_hundred_lines_share_what_was_learned() -> None:
    """The library with the network is loaded once, and a line of its own is a hundredth of it."""
    lines = [Rnnoise() for _ in range(100)]
    maps = Path("/proc/self/maps")
    if maps.exists():
        loaded = {row.split()[-1] for row in maps.read_text().splitlines() if "rnnoise" in row}
        assert len(loaded) == 1
        (path,) = loaded
        library = rnnoise._library()  # pyright: ignore[reportPrivateUsage]  (what is shared)
        assert 100 * library.rnnoise_get_size() < Path(path).stat().st_size
    assert len({id(line._library) for line in lines}) == 1  # pyright: ignore[reportPrivateUsage]


def test_a_line_gives_back_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made for a line is destroyed once, when the line is gone."""
    library = rnnoise._library()  # pyright: ignore[reportPrivateUsage]  (what is counted)
    destroyed: list[int | None] = []
    destroy = library.rnnoise_destroy

    class Counting:
        """The library, with a count."""

        rnnoise_create = library.rnnoise_create
        rnnoise_process_frame = library.rnnoise_process_frame

        @staticmethod
        def rnnoise_destroy(state: object) -> None:
            destroyed.append(getattr(state, "value", None))
            destroy(state)

    monkeypatch.setattr(rnnoise, "_library", Counting)
    line = Rnnoise()
    line.process(bytes(320))
    del line
    gc.collect()
    assert len(destroyed) == 1


def test_nothing_else_of_the_carrier_is_loaded() -> None:
    """RNNoise brings neither its package's Python nor what that asks for."""
    code = (
        "import sys; from beluga_voice.providers.noise.rnnoise import Rnnoise; Rnnoise();"
        "print([n for n in ('pyrnnoise', 'av', 'audiolab', 'matplotlib') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_missing_packages_name_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its package a reducer raises the line that installs it, or says what to use."""
    rnnoise._library.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    with monkeypatch.context() as context:
        context.setattr(rnnoise, "find_spec", _nothing)
        with pytest.raises(MissingExtra, match=r"beluga-voice\[rnnoise\]"):
            Rnnoise()
        context.setitem(sys.modules, "webrtc_noise_gain", None)
        context.setattr(platform, "system", lambda: "Linux")
        with pytest.raises(MissingExtra, match=r"beluga-voice\[webrtc-noise\]"):
            WebRtcNoise()
        context.setattr(platform, "system", lambda: "Darwin")
        with pytest.raises(ConfigurationError, match="no package for Darwin; use rnnoise"):
            WebRtcNoise()
    assert len(Rnnoise().process(bytes(320))) == 320


def test_a_package_without_a_library_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A package that has no build for this system raises, and says so."""
    rnnoise._library.cache_clear()  # pyright: ignore[reportPrivateUsage]  (as in a new process)
    spec = ModuleSpec("pyrnnoise", None, origin=str(tmp_path / "__init__.py"))
    with monkeypatch.context() as context:
        context.setattr(rnnoise, "find_spec", {"pyrnnoise": spec}.get)
        with pytest.raises(ConfigurationError, match="no build of it for this system"):
            Rnnoise()
    assert len(Rnnoise().process(bytes(320))) == 320


def _nothing(name: str) -> None:
    """Finds no package."""
