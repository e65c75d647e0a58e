"""The framer."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beluga_voice.audio.framing import Framer
from beluga_voice.errors import Misuse


@settings(deadline=None, derandomize=True, max_examples=200)
@given(size=st.integers(1, 50), chunks=st.lists(st.binary(max_size=120), max_size=20))
def test_frames_are_exact_and_nothing_is_lost(size: int, chunks: list[bytes]) -> None:
    """Whatever the chunks, frames have one size and frames plus rest are what was fed."""
    framer = Framer(size)
    frames: list[bytes] = []
    for chunk in chunks:
        ready = framer.feed(chunk)
        assert framer.held < size
        frames += ready
    assert all(len(frame) == size for frame in frames)
    assert framer.position == len(frames)
    whole = b"".join(chunks)
    assert b"".join(frames) + framer.flush(pad=False) == whole
    assert len(frames) == len(whole) // size


def test_a_chunk_of_one_frame_is_passed_through() -> None:
    """A chunk that is exactly one frame is given out as the same object."""
    frame = bytes(range(64)) * 10
    [given_out] = Framer(640).feed(frame)
    assert given_out is frame


def test_a_frame_sized_chunk_waits_its_turn_behind_held_bytes() -> None:
    """Bytes held from before come first, even when the next chunk has a frame's size."""
    framer = Framer(4)
    assert framer.feed(b"ab") == []
    assert framer.feed(b"cdef") == [b"abcd"]
    assert framer.held == 2


def test_flush_pads_the_last_frame_once() -> None:
    """The rest is padded to full length and counted, and a second flush is empty."""
    framer = Framer(4)
    framer.feed(b"abcdef")
    assert framer.flush() == b"ef\0\0"
    assert framer.position == 2
    assert framer.flush() == b""
    assert framer.position == 2


def test_flush_pads_with_the_silence_asked_for() -> None:
    """G.711 sound is padded with its own silence, not with its loudest code."""
    framer = Framer(3, padding=b"\xff")
    framer.feed(b"a")
    assert framer.flush() == b"a\xff\xff"


def test_clear_forgets_what_is_held() -> None:
    """After clear the next frame begins with the next byte, and the position stays."""
    framer = Framer(2)
    framer.feed(b"abc")
    framer.clear()
    assert framer.feed(b"de") == [b"de"]
    assert framer.position == 2


@pytest.mark.parametrize(("size", "padding"), [(0, b"\0"), (-1, b"\0"), (2, b""), (2, b"ab")])
def test_a_senseless_frame_is_refused(size: int, padding: bytes) -> None:
    """A frame without bytes, or padding that is not one byte, is a misuse."""
    with pytest.raises(Misuse):
        Framer(size, padding=padding)


def test_framing_does_not_load_numpy() -> None:
    """Cutting frames costs no import of numpy or soxr."""
    program = (
        "import sys, beluga_voice.audio.framing, beluga_voice.audio.formats;"
        "sys.exit('numpy' in sys.modules or 'soxr' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
