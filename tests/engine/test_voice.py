"""Where voice begins and ends, counted in samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted, VoiceStopped

RATE = 16000
FRAME_MS = 20
LOUD, SOFT, QUIET = 0.9, 0.4, 0.1
"""Above the threshold of 0.5; between it and the lower one of 0.35; below both."""


def hear(pattern, *, settings=None, frame_ms=FRAME_MS, rate=RATE):
    """What a row of blocks of 20 ms leads to: each change with the media time it is known at."""
    segmenter = VoiceSegmenter(settings or VoiceSettings(), rate)
    samples = frame_ms * rate // 1000
    changes = []
    position = 0
    for probability in pattern:
        for _ in range(FRAME_MS // frame_ms):
            position += samples
            change = segmenter.hear(probability, samples)
            if change is not None:
                changes.append((position * 1000 / rate, change))
    return changes


@pytest.mark.parametrize(
    ("pattern", "changes"),
    [
        ([], []),
        ([QUIET] * 50, []),
        ([LOUD] * 2 + [QUIET] * 50, []),
        ([SOFT] * 50, []),
        ([QUIET] * 5 + [LOUD] * 3, [(160, VoiceStarted(ago_ms=60))]),
        ([LOUD, QUIET, LOUD, QUIET, LOUD], [(100, VoiceStarted(ago_ms=100))]),
        ([LOUD, SOFT, LOUD, LOUD], [(80, VoiceStarted(ago_ms=80))]),
        ([LOUD, LOUD, QUIET, QUIET, QUIET, LOUD, LOUD], []),
        ([LOUD] * 3 + [SOFT] * 100, [(60, VoiceStarted(ago_ms=60))]),
        (
            [LOUD] * 3 + [QUIET] * 10,
            [(60, VoiceStarted(ago_ms=60)), (260, VoiceStopped(ago_ms=200))],
        ),
        ([LOUD] * 3 + [QUIET] * 9 + [SOFT] + [QUIET] * 9, [(60, VoiceStarted(ago_ms=60))]),
        (
            [LOUD] * 3 + [QUIET] * 10 + [LOUD] * 3,
            [
                (60, VoiceStarted(ago_ms=60)),
                (260, VoiceStopped(ago_ms=200)),
                (320, VoiceStarted(ago_ms=60)),
            ],
        ),
    ],
    ids=[
        "nothing",
        "quiet",
        "a click",
        "soft sound starts nothing",
        "a start",
        "short gaps count into the onset",
        "soft sound is a gap before the start",
        "a long gap begins anew",
        "soft sound keeps a voice",
        "a stop",
        "a soft frame undoes the quiet before it",
        "a second voice",
    ],
)
def test_voice_starts_and_stops_at_exact_times(pattern, changes):
    """Each pattern of blocks gives its changes, to the millisecond of media time."""
    assert hear(pattern) == changes


@pytest.mark.parametrize("probability", [0.5, 0.35])
def test_a_threshold_itself_counts_as_voice(probability):
    """A probability equal to the threshold starts, and one equal to the lower one keeps, voice."""
    settings = VoiceSettings(threshold=0.5, hysteresis=0.15)
    changes = hear([max(probability, 0.5)] * 3 + [probability] * 50, settings=settings)
    assert changes == [(60, VoiceStarted(ago_ms=60))]


patterns = st.lists(
    st.tuples(st.sampled_from([LOUD, SOFT, QUIET]), st.integers(1, 15)), max_size=25
).map(lambda runs: [probability for probability, count in runs for _ in range(count)])


@given(patterns, st.sampled_from([1, 2, 4, 5, 10]), st.sampled_from([8000, 16000, 48000]))
def test_the_size_of_frames_and_the_rate_change_nothing(pattern, frame_ms, rate):
    """The same sound in smaller frames, or at another rate, gives the same changes."""
    assert hear(pattern, frame_ms=frame_ms, rate=rate) == hear(pattern)


@given(patterns)
def test_changes_alternate_and_point_at_the_sound(pattern):
    """Starts and stops alternate; a start points at a loud block, a stop behind the last one."""
    changes = hear(pattern)
    assert [type(change) for _, change in changes] == [
        (VoiceStarted, VoiceStopped)[index % 2] for index in range(len(changes))
    ]
    for at_ms, change in changes:
        block = round((at_ms - change.ago_ms) / FRAME_MS)
        if isinstance(change, VoiceStarted):
            assert pattern[block] == LOUD
            assert change.ago_ms >= 60
        else:
            assert change.ago_ms == 200
            assert pattern[block - 1] != QUIET
            assert set(pattern[block : round(at_ms / FRAME_MS)]) == {QUIET}


@given(patterns, patterns)
def test_after_a_reset_nothing_is_remembered(before, after):
    """A segmenter that was reset hears like a new one."""
    used, fresh = VoiceSegmenter(VoiceSettings(), RATE), VoiceSegmenter(VoiceSettings(), RATE)
    for probability in before:
        used.hear(probability, 320)
    used.reset()
    assert not used.is_voice
    assert [used.hear(one, 320) for one in after] == [fresh.hear(one, 320) for one in after]


def test_a_pause_within_voice_is_not_loud():
    """While voice goes on through a pause, `is_voice` holds and `is_loud` does not."""
    segmenter = VoiceSegmenter(VoiceSettings(), RATE)
    for _ in range(3):
        segmenter.hear(LOUD, 320)
    assert (segmenter.is_voice, segmenter.is_loud) == (True, True)
    segmenter.hear(QUIET, 320)
    assert (segmenter.is_voice, segmenter.is_loud) == (True, False)
