"""Voice activity from loudness."""

import random
import struct

import pytest

from beluga_voice.errors import WrongFormat
from beluga_voice.providers.vad.energy import EnergyVad
from beluga_voice.providers.vad.loudness import level_db


def noise(level: float, count: int, *, seed: int = 1, offset: int = 0) -> bytes:
    """Gaussian noise, `level` being its root mean square."""
    source = random.Random(seed)
    return struct.pack(
        f"<{count}h", *(round(source.gauss(0, level)) + offset for _ in range(count))
    )


def probabilities(vad: EnergyVad, pcm: bytes) -> list[float]:
    size = 2 * vad.frame_samples
    return [vad.process(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (bytes(640), -100.0),
        (struct.pack("<4h", 32767, -32768, 32767, -32768), 0.0),
        (struct.pack("<4h", 1000, -1000, 1000, -1000), -30.3),
        (struct.pack("<4h", 9000, 7000, 9000, 7000), -30.3),
    ],
    ids=["silence", "full", "square", "offset"],
)
def test_level_is_that_of_the_changing_part(pcm: bytes, expected: float) -> None:
    """The level is in dB of full scale, and a constant part is not heard."""
    assert level_db(pcm) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_loud_part_in_a_quiet_room_is_speech(rate: int) -> None:
    """At any rate, what is 20 dB above the room's noise is found in exactly its own frames."""
    vad = EnergyVad(rate=rate)
    pcm = noise(100, rate * 4) + noise(1000, rate) + noise(100, rate)
    found = probabilities(vad, pcm)
    assert len(found) == 300
    assert max(found[50:200]) < 0.5
    assert min(found[200:250]) > 0.9
    assert max(found[250:]) < 0.5


def test_silence_and_whispers_are_never_speech() -> None:
    """Digital silence, and sound quieter than the quietest speech, have probability 0."""
    vad = EnergyVad()
    assert set(probabilities(vad, bytes(32000) + noise(20, 16000))) == {0.0}


def test_speech_at_once_is_heard() -> None:
    """Who speaks from the first frame on is heard in it."""
    assert probabilities(EnergyVad(), noise(2000, 320)) == [pytest.approx(1.0, abs=0.01)]


def test_louder_room_becomes_the_floor() -> None:
    """A room that becomes louder is taken for speech for the memory's two seconds, no longer."""
    vad = EnergyVad()
    found = probabilities(vad, noise(100, 16000 * 3) + noise(800, 16000 * 4))
    assert min(found[150:240]) > 0.5
    assert max(found[270:]) < 0.5


def test_reset_forgets_the_room() -> None:
    """After `reset` a detector answers as a new one does."""
    used, new = EnergyVad(), EnergyVad()
    probabilities(used, noise(3000, 16000 * 3))
    used.reset()
    pcm = noise(300, 16000, seed=2)
    assert probabilities(used, pcm) == probabilities(new, pcm)


def test_other_length_is_refused() -> None:
    """A frame of another length raises `WrongFormat`."""
    with pytest.raises(WrongFormat):
        EnergyVad().process(bytes(638))
