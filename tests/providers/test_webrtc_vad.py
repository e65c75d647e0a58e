"""Voice activity by the WebRTC detector."""

import math
import struct
import sys

import pytest

from beluga_voice import registry
from beluga_voice.errors import ConfigurationError, MissingExtra, WrongFormat
from beluga_voice.providers.vad.webrtc import FRAME_MILLISECONDS, MODES, RATES, WebRtcVad


def vowel(rate: int, samples: int) -> bytes:
    """What sounds like a voice: pulses of 150 Hz, strongest about 700 Hz, four times a second."""
    made: list[int] = []
    for at in range(samples):
        seconds = at / rate
        pulses = sum(
            math.sin(2 * math.pi * 150 * k * seconds) / (1 + abs(150 * k - 700) / 200)
            for k in range(1, 20)
        )
        made.append(round(4000 * pulses * max(0.0, math.sin(2 * math.pi * 4 * seconds))))
    return struct.pack(f"<{samples}h", *made)


def frames_of(vad: WebRtcVad, pcm: bytes) -> list[bytes]:
    size = 2 * vad.frame_samples
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


@pytest.mark.parametrize("milliseconds", FRAME_MILLISECONDS)
@pytest.mark.parametrize("rate", RATES)
def test_a_voice_is_told_from_silence(rate: int, milliseconds: int) -> None:
    """At every rate and length of a frame, silence has probability 0 and most of a voice 1."""
    vad = WebRtcVad(rate=rate, frame_milliseconds=milliseconds)
    assert vad.frame_samples == rate * milliseconds // 1000
    assert {vad.process(frame) for frame in frames_of(vad, bytes(2 * rate))} == {0.0}
    heard = [vad.process(frame) for frame in frames_of(vad, vowel(rate, rate))]
    assert set(heard) <= {0.0, 1.0}
    assert sum(heard) > len(heard) / 2


def test_a_higher_mode_takes_less_for_speech() -> None:
    """From mode 0 to 3, no mode finds more voice in a quiet one than the mode before."""
    quiet = bytes(32000) + vowel(16000, 16000)
    found: list[float] = []
    for mode in MODES:
        vad = WebRtcVad(mode=mode)
        found.append(sum(vad.process(frame) for frame in frames_of(vad, quiet)))
    assert found == sorted(found, reverse=True)
    assert found[0] > found[3]


def test_lines_do_not_hear_each_other() -> None:
    """A detector answers as it does alone, whatever another one hears in between."""
    pcm = vowel(16000, 16000)
    alone, one, other = WebRtcVad(), WebRtcVad(), WebRtcVad()
    expected = [alone.process(frame) for frame in frames_of(alone, pcm)]
    together: list[float] = []
    for frame, noisy in zip(frames_of(one, pcm), frames_of(other, pcm[::-1]), strict=True):
        together.append(one.process(frame))
        other.process(noisy)
    assert together == expected


def test_reset_forgets_what_was_heard() -> None:
    """After `reset` a detector answers as a new one does."""
    used, new = WebRtcVad(), WebRtcVad()
    for frame in frames_of(used, vowel(16000, 32000)):
        used.process(frame)
    used.reset()
    after = vowel(16000, 8000)
    assert [used.process(f) for f in frames_of(used, after)] == [
        new.process(f) for f in frames_of(new, after)
    ]


@pytest.mark.parametrize("size", [0, 638, 639, 642])
def test_other_length_is_refused(size: int) -> None:
    """A frame of another length raises `WrongFormat`."""
    with pytest.raises(WrongFormat, match=f"a frame of {size} bytes; 640 are due"):
        WebRtcVad().process(bytes(size))


@pytest.mark.parametrize(
    "settings", [{"rate": 24000}, {"frame_milliseconds": 25}, {"mode": 4}, {"mode": -1}]
)
def test_other_settings_are_refused(settings: dict[str, int]) -> None:
    """A rate, a length and a mode that the library does not have raise, with those it has."""
    with pytest.raises(ConfigurationError, match="it takes"):
        WebRtcVad(**settings)


def test_it_is_found_by_name() -> None:
    """The registry makes it, with its settings."""
    vad = registry.create("vad", "webrtc", rate=8000)
    assert isinstance(vad, WebRtcVad)
    assert vad.rate == 8000


def test_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package a detector raises the line that installs it."""
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(MissingExtra, match=r"beluga-voice\[webrtc-vad\]"):
        WebRtcVad()
