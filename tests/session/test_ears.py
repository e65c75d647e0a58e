"""What is heard of the person, and what is kept from before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beluga_voice.app import VoiceSession
from beluga_voice.audio.formats import to_samples
from beluga_voice.engine.voice import VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import ConfigurationError
from beluga_voice.session.ears import Ears
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

RATE = 16000


def ears(*, rate=RATE, vad_rate=16000, **options):
    return Ears(
        rate=rate,
        detector=ScriptedVad(rate=vad_rate),
        settings=options.pop("settings", VoiceSettings()),
        **options,
    )


def loud(milliseconds, rate=RATE):
    return b"\x00\x20" * to_samples(milliseconds, rate)


def quiet(milliseconds, rate=RATE):
    return bytes(to_samples(milliseconds, rate) * 2)


def hear(listening, pcm, sizes):
    """Feed sound in chunks; each change with the count of samples after which it was known."""
    changes = []
    at = index = 0
    while at < len(pcm):
        size = sizes[index % len(sizes)] * 2
        index += 1
        chunk = pcm[at : at + size]
        at += len(chunk)
        changes += [(at // 2, change) for change in listening.hear(chunk)]
    return changes


SOUND = quiet(100) + loud(200) + quiet(60) + loud(100) + quiet(400) + loud(100) + quiet(300)
CHANGES = [
    (160, VoiceStarted(ago_ms=60)),
    (660, VoiceStopped(ago_ms=200)),
    (920, VoiceStarted(ago_ms=60)),
    (1160, VoiceStopped(ago_ms=200)),
]


def test_voice_is_heard_at_exact_times():
    """In frames of the detector's own size, each change is known with its last frame."""
    found = hear(ears(), SOUND, [320])
    assert [(count * 1000 / RATE, change) for count, change in found] == CHANGES


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_the_size_of_chunks_changes_nothing(sizes):
    """Chunks that are no frames give the same changes, at the first chunk that completes them."""
    found = hear(ears(), SOUND, sizes)
    assert [change for _, change in found] == [change for _, change in CHANGES]
    for (count, _), (at_ms, _) in zip(found, CHANGES, strict=True):
        assert 0 <= count - to_samples(at_ms, RATE) < max(sizes)


@pytest.mark.parametrize(("rate", "vad_rate"), [(8000, 16000), (48000, 16000), (16000, 8000)])
def test_a_line_of_another_rate_is_resampled_for_the_detector(rate, vad_rate):
    """Changes come within a frame of where they are, since a filter needs some future."""
    sound = quiet(100, rate) + loud(400, rate) + quiet(600, rate)
    found = hear(ears(rate=rate, vad_rate=vad_rate), sound, [to_samples(20, rate)])
    assert [type(change) for _, change in found] == [VoiceStarted, VoiceStopped]
    started, stopped = (count * 1000 / rate - change.ago_ms for count, change in found)
    assert abs(started - 100) <= 20
    assert abs(stopped - 500) <= 40


def test_no_detector_hears_nothing():
    """Where the service hears, the ears only remember."""
    deaf = Ears(rate=RATE, detector=None, settings=VoiceSettings())
    assert list(deaf.hear(loud(1000))) == []
    assert not deaf.hears_voice
    deaf.remember(loud(20))
    assert deaf.recall() == [loud(20)]


def test_a_voice_in_a_pause_is_not_heard():
    """`hears_voice` holds while voice is on and loud, and not in its pauses."""
    listening = ears()
    states = []
    for chunk in (loud(40), loud(20), quiet(20), loud(20), quiet(200)):
        listening.hear(chunk)
        states.append(listening.hears_voice)
    assert states == [False, True, False, True, False]


def numbered(count):
    """A sound in which every sample is another."""
    return b"".join(number.to_bytes(2, "little") for number in range(count))


def test_the_preroll_is_what_came_before_the_voice_was_noticed():
    """Kept are the frames that cover the preroll and the time it takes to notice a voice."""
    listening = ears(settings=VoiceSettings(preroll_ms=300, start_ms=60))
    sound = numbered(to_samples(2000, RATE))
    size = to_samples(20, RATE) * 2
    for at in range(0, len(sound), size):
        listening.remember(sound[at : at + size])
    kept = b"".join(listening.recall())
    assert kept == sound[-to_samples(360, RATE) * 2 :]
    assert listening.recall() == []


@given(st.lists(st.integers(1, 1500), min_size=1, max_size=700), st.integers(0, 500))
def test_the_preroll_of_any_chunks_is_the_whole_end(sizes, preroll_ms):
    """What is kept is the end of the sound, all of it that is wanted and less than a chunk more."""
    listening = ears(settings=VoiceSettings(preroll_ms=preroll_ms, start_ms=60))
    sound = b""
    for count, size in enumerate(sizes):
        chunk = (count % 251).to_bytes(2, "little") * size
        sound += chunk
        listening.remember(chunk)
    kept = b"".join(listening.recall())
    wanted = to_samples(preroll_ms + 60, RATE) * 2
    assert sound.endswith(kept)
    assert len(kept) >= min(wanted, len(sound))
    assert len(kept) < wanted + 2 * max(sizes)


def test_chunks_are_not_kept_without_end():
    """However long nobody speaks, what is kept stays small."""
    listening = ears()
    for _ in range(20_000):
        listening.remember(b"\x00\x00" * 16)
    assert sum(len(chunk) for chunk in listening.recall()) // 2 < to_samples(360, RATE) + 16
    listening.remember(b"\x01\x00" * 256)
    assert listening.recall() == [b"\x01\x00" * 256]


class Halver:
    """A reducer that makes everything half as loud, in frames of 10 ms."""

    rate = RATE
    frame_samples = 160

    def process(self, frame, /):
        assert len(frame) == 320
        return b"".join(
            (int.from_bytes(frame[at : at + 2], "little") // 2).to_bytes(2, "little")
            for at in range(0, len(frame), 2)
        )


@given(st.lists(st.integers(1, 900), min_size=1, max_size=20))
def test_noise_is_reduced_in_whole_frames(sizes):
    """The reducer sees frames of its size, and all the whole ones come out in order."""
    listening = ears(processors=[Halver()])
    sound = numbered(sum(sizes))
    got = b""
    at = 0
    for size in sizes:
        got += listening.process(sound[at : at + size * 2])
        at += size * 2
    whole = len(sound) // 320
    assert got == b"".join(Halver().process(sound[n * 320 : n * 320 + 320]) for n in range(whole))


def test_without_processors_sound_is_as_it_was():
    """Nothing is copied, cut or delayed."""
    sound = numbered(77)
    assert ears().process(sound) is sound


def test_a_reducer_of_another_rate_is_refused():
    """Noise reduction at the wrong rate would garble speech: it is an error at once."""

    class Reducer:
        rate = 48000
        frame_samples = 480

        def process(self, frame):
            return frame

    with pytest.raises(ConfigurationError, match="48000 Hz, and the line at 16000 Hz"):
        Ears(rate=16000, detector=None, settings=VoiceSettings(), processors=[Reducer()])


def test_a_session_takes_a_reducer_by_name():
    """The named reducer is made for the rate of the line, and sound passes through it."""

    async def scene():
        caller = ScriptedCaller(input_rate=8000)
        stt, vad = ScriptedStt(is_continuous=True), ScriptedVad()
        session = VoiceSession(stt=stt, tts=ScriptedTts(), vad=vad, line=caller, noise="rnnoise")
        async with session:
            session.send_audio(bytes(1600))
        return len(stt.links[0].received)

    # Whole frames of 10 ms come out, and a part of the last waits in the converter to 16 kHz.
    assert 2800 < simulate(scene) <= 3200
