"""Sound and words of which we know where somebody speaks, and whether they were done."""

# What is measured is only as good as the labels, so all of them come from the clean voice alone,
# before anything is mixed with it.

import asyncio
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from beluga_voice.audio.convert import convert
from beluga_voice.audio.files import read_sound
from beluga_voice.audio.formats import AudioFormat, Encoding, pcm16
from beluga_voice.testing.conformance.turn_detection import SENTENCES
from benchmarks.recognition import ESPEAK, FLITE, OUT_OF_DOMAIN, espeak, flite

type Line = NDArray[np.float64]
"""Mono sound at 16 kHz, in steps of 16-bit PCM."""

type Truth = NDArray[np.bool_]
"""Whether somebody speaks, for each 10 ms."""

RATE = 16000
MOMENT = RATE // 100
PAUSE_SECONDS = 1.5
SPEECH_LEVEL = 2000.0
"""The root mean square of speech while it lasts: 24 dB below full scale."""
ROOM_LEVEL = 24.0
"""The same of a quiet room: 63 dB below full scale."""
SPEECH_RANGE_DB = 35.0
"""What is so much quieter than the loud parts of a voice is no voice."""
FILLED_MOMENTS = 20
"""A gap between two parts of a voice that is no longer than this is speech."""
SILENCE_MOMENTS = 20
"""What a turn detector is given of the pause."""
_MARKS = str.maketrans("", "", ".,?!")


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Sentences of one speaker, each at the same level."""

    name: str
    sentences: list[Line]
    texts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What somebody said until they paused, with that pause."""

    voice: str
    sound: Line
    text: str
    is_complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What a recogniser made of what somebody said until they paused."""

    spelling: str
    text: str
    is_complete: bool


def pcm_of(sound: Line) -> bytes:
    """Sound as 16-bit PCM."""
    return np.rint(sound).clip(-32768, 32767).astype("<i2").tobytes()


def line_of(pcm: bytes) -> Line:
    """16-bit PCM as sound."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def voices(sentences: int, recorded: Sequence[Path]) -> list[Voice]:
    """The voices of this machine, and of recordings, each of which is one sentence."""
    texts: Sequence[str] = OUT_OF_DOMAIN[:sentences]
    made = [
        Voice(
            name=f"espeak {name}",
            sentences=[_prepared(line_of(asyncio.run(espeak(name, text)))) for text in texts],
            texts=texts,
        )
        for name in ESPEAK
    ]
    if shutil.which("flite"):
        for name in FLITE:
            spoken = [_prepared(line_of(flite(name, text))) for text in texts]
            made.append(Voice(name=f"flite {name}", sentences=spoken, texts=texts))
    for path in recorded:
        spoken = [_prepared(recording(path))]
        made.append(Voice(name=f"recorded {path.stem}", sentences=spoken, texts=[""]))
    return made


def recording(path: Path) -> Line:
    """A sound file of any kind that we read."""
    return line_of(read_sound(path).to_pcm16(RATE))


def truth_of(clean: Line) -> Truth:
    """Where in a clean recording somebody speaks."""
    levels = _levels(clean)
    speaks: Truth = levels > np.percentile(levels, 95) - SPEECH_RANGE_DB
    starts, ends = _stretches(speaks)
    for end, start in zip(ends[:-1], starts[1:], strict=True):
        if start - end <= FILLED_MOMENTS:
            speaks[end:start] = True
    return speaks


def stream(voice: Voice) -> tuple[Line, Truth]:
    """The sentences one after the other, with pauses before, between and after."""
    pause = np.zeros(int(PAUSE_SECONDS * 100) * MOMENT)
    parts: list[Line] = [pause]
    truths: list[Truth] = [np.zeros(len(pause) // MOMENT, bool)]
    for sentence in voice.sentences:
        parts += [sentence, pause]
        truths += [truth_of(sentence), np.zeros(len(pause) // MOMENT, bool)]
    return np.concatenate(parts), np.concatenate(truths)


def turns(voice: Voice) -> Iterator[Turn]:
    """Each sentence whole, and cut where it is quietest between 40% and 70% of it."""
    for sentence, text in zip(voice.sentences, voice.texts, strict=True):
        speaks = truth_of(sentence)
        starts, ends = _stretches(speaks)
        begin, end = int(starts[0]), int(ends[-1])
        levels = _levels(sentence)
        first = begin + (end - begin) * 4 // 10
        cut = first + int(np.argmin(levels[first : begin + (end - begin) * 7 // 10]))
        words = text.split()
        said = round(len(words) * (cut - begin) / (end - begin))
        for until, heard in ((end, text), (cut, " ".join(words[:said]))):
            sound = np.concatenate(
                [sentence[begin * MOMENT : until * MOMENT], np.zeros(SILENCE_MOMENTS * MOMENT)]
            )
            sound += noise("white", len(sound), ROOM_LEVEL)
            yield Turn(voice=voice.name, sound=sound, text=heard, is_complete=until == end)


def transcripts() -> Iterator[Transcript]:
    """Each sentence whole, and after half of its words; as recognisers write it, and plain."""
    for whole, _ in SENTENCES:
        words = whole.split()
        half = " ".join(words[: len(words) // 2]).rstrip(",")
        for text, is_complete in ((whole, True), (half, False)):
            yield Transcript(spelling="with marks", text=text, is_complete=is_complete)
            plain = text.lower().translate(_MARKS)
            yield Transcript(spelling="without marks", text=plain, is_complete=is_complete)


# ── what is not speech ──────────────────────────────────────────────────────────────────────

NOISES = ("white", "pink", "music")


def noise(kind: str, samples: int, level: float, *, recorded: Line | None = None) -> Line:
    """So much noise of one kind, `level` being its root mean square."""
    if recorded is not None:
        made = np.resize(recorded, samples)
    elif kind == "white":
        made = np.random.default_rng(samples).normal(0, 1, samples)
    elif kind == "pink":
        made = _pink(samples)
    else:
        made = _music(samples)
    return made * (level / np.sqrt(np.mean(made**2)))


def _pink(samples: int) -> Line:
    """Noise whose power falls by 3 dB an octave, from 20 Hz on."""
    spectrum = np.fft.rfft(np.random.default_rng(samples).normal(0, 1, samples))
    hertz = np.fft.rfftfreq(samples, 1 / RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20)), samples)


def _music(samples: int) -> Line:
    """Four chords, two notes of a melody to each second, with overtones and a tremble."""
    at = np.arange(samples) / RATE
    chords = np.array([[261.6, 329.6, 392.0], [220.0, 261.6, 329.6], [174.6, 220.0, 261.6],
                       [196.0, 246.9, 293.7]])  # fmt: skip
    melody = np.array([523.3, 587.3, 659.3, 784.0, 659.3, 587.3, 493.9, 392.0])
    chord = chords[(at // 2).astype(int) % len(chords)]
    made = np.zeros(samples)
    for voice in range(3):
        made += _note(chord[:, voice], at)
    sounding = np.exp(-3 * (at % 0.5))
    return made * 0.5 + _note(melody[(at * 2).astype(int) % len(melody)], at) * sounding * 2


def _note(hertz: Line, at: Line) -> Line:
    tremble = 1 + 0.004 * np.sin(2 * np.pi * 5.5 * at)
    phase = 2 * np.pi * np.cumsum(hertz * tremble) / RATE
    made: Line = sum((np.sin(k * phase) / k**1.5 for k in range(1, 7)), np.zeros(len(at)))
    return made


def telephone(sound: Line) -> Line:
    """What is left of it after a telephone line: 8 kHz, mu-law."""
    narrow = AudioFormat(Encoding.MULAW, 8000)
    back = convert(convert(pcm_of(sound), pcm16(RATE), narrow), narrow, pcm16(RATE))
    return line_of(back)


def _prepared(sound: Line) -> Line:
    """Whole moments, at the level that all speech has here."""
    whole = sound[: len(sound) // MOMENT * MOMENT]
    speaks = np.repeat(truth_of(whole), MOMENT)
    return whole * (SPEECH_LEVEL / np.sqrt(np.mean(whole[speaks] ** 2)))


def _levels(sound: Line) -> Line:
    """The loudness of each moment, in dB."""
    power = np.mean(sound[: len(sound) // MOMENT * MOMENT].reshape(-1, MOMENT) ** 2, axis=1)
    return 10 * np.log10(power + 1e-9)


def _stretches(truth: Truth) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where stretches of speech begin, and where they end."""
    changes = np.diff(np.concatenate([[False], truth, [False]]).astype(int))
    return np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)


def stretches(truth: Truth) -> list[tuple[int, int]]:
    """The stretches of speech, in moments."""
    starts, ends = _stretches(truth)
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
