"""How well voice detectors and turn detectors judge, on sound of which we know the truth.

Synthetic voices speak in a quiet room, over a telephone line, and over noise and music as loud as
they are, or 10 dB quieter. `--speech` and `--noise` add recordings. The table of turn detectors is
about sentences that are whole, and the same ones cut off in the middle: those that listen hear them
by each kind of voice, those that read are given the words, with marks and without.
"""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
import argparse
import asyncio
import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beluga_voice import registry
from beluga_voice.audio.convert import convert
from beluga_voice.audio.formats import pcm16
from beluga_voice.engine.voice import VoiceSegmenter, VoiceSettings, VoiceStarted, VoiceStopped
from beluga_voice.errors import ConfigurationError
from beluga_voice.interfaces import (
    ListeningTurnDetector,
    NoiseReducer,
    TurnDetector,
    VoiceActivityDetector,
)
from beluga_voice.providers.turns.smart_turn import FILE_NAME
from beluga_voice.testing.conformance.sounds import voice as spoken_vowels
from benchmarks.labelled import (
    MOMENT,
    NOISES,
    PAUSE_SECONDS,
    RATE,
    ROOM_LEVEL,
    SPEECH_LEVEL,
    Line,
    Truth,
    Turn,
    Voice,
    line_of,
    noise,
    pcm_of,
    recording,
    stream,
    stretches,
    telephone,
    transcripts,
    turns,
    voices,
)
from benchmarks.results import Cell, Number, Result, Table, percentile, rounded

WHAT = "how well voice and turn detectors judge, and what they cost"
LINES = 100
"""Detectors that are made to find out what one more takes."""
FOREIGN = Path(__file__).parents[1] / ".foreign" / "pipecat"
"""Where the tests keep what they compare with, the model among it."""
QUESTIONS_A_MINUTE = 10
"""Pauses at which a turn might be over."""
EDGE = 6
"""Moments on either side of a change in which nobody is judged."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be asked."""
    parser.add_argument("--sentences", type=int, default=8, help="of each voice: %(default)s")
    parser.add_argument(
        "--speech", type=Path, action="append", default=[], help="a clean recording of speech"
    )
    parser.add_argument(
        "--noise", type=Path, action="append", default=[], help="a recording without speech"
    )
    parser.add_argument(
        "--turn-model",
        type=Path,
        default=next(FOREIGN.glob(f"lib/*/site-packages/pipecat/audio/turn/**/{FILE_NAME}"), None),
        help="the file of the Smart Turn model; if the tests have fetched it, it need not be given",
    )


def measure(options: argparse.Namespace) -> Result:
    """Every detector that is installed, over every kind of sound."""
    speaking = voices(options.sentences, options.speech)
    recorded = {path.stem: recording(path) for path in options.noise}
    places = _places(speaking, recorded)
    notes: list[str] = []
    numbers: dict[str, Number] = {}
    series: dict[str, Any] = {"auc": {}, "alarms": {}, "turns": {}, "costs": {}}
    detectors = _makers("vad", notes)
    judged: list[list[Cell]] = []
    for place, lines in places.items():
        for name, make in detectors.items():
            auc, hits, alarms = _scores([(_heard(make(), sound), truth) for sound, truth in lines])
            session = _session(make, lines)
            judged.append([place, name, rounded(auc), rounded(hits), rounded(alarms), *session])
            label = f"{name}, {place}"
            numbers[f"{label}: AUC"] = Number(value=rounded(auc), unit="0 to 1")
            numbers[f"{label}: missed"] = Number(value=session[0], unit="% of the sentences")
            numbers[f"{label}: no end"] = Number(value=session[1], unit="% of the sentences")
            numbers[f"{label}: false starts"] = Number(value=session[2], unit="a minute")
            numbers[f"{label}: start"] = Number(value=session[3], unit="ms after the voice")
            numbers[f"{label}: stop"] = Number(value=session[4], unit="ms after the voice")
            series["auc"].setdefault(name, {})[place] = auc
    quiet: list[list[Cell]] = []
    for place, sound in _without_speech(recorded).items():
        row: list[Cell] = [place]
        for name, make in detectors.items():
            share = float(np.mean(_heard(make(), sound) > 0.5))
            row.append(rounded(100 * share, 1))
            series["alarms"].setdefault(name, {})[place] = share
            unit = "% of the time"
            numbers[f"{name}, {place} alone"] = Number(value=rounded(100 * share, 1), unit=unit)
        quiet.append(row)
    costs = [_cost(name, make, numbers) for name, make in detectors.items()]
    reducers = [
        _reducer_cost(name, make, numbers) for name, make in _makers("noise", notes).items()
    ]
    series["costs"] = {row[0]: row[3] for row in (*costs, *reducers)}
    judges, settings = _judges(notes, options.turn_model)
    spoken = [turn for voice in speaking for turn in turns(voice)]
    rows = [
        _judge(f"{name}, {kind}", questions, series, numbers)
        for name, detector in judges.items()
        for kind, questions in _questions(detector, spoken).items()
    ]
    asking = [_question_cost(name, given, numbers) for name, given in settings.items()]
    series["costs"] |= {row[0]: row[3] for row in asking if row[3]}
    count = sum(len(voice.sentences) for voice in speaking)
    return Result(
        name="detection",
        what=WHAT,
        numbers=numbers,
        tables=[
            Table(
                title="Voice detectors, and what a session notices with them",
                columns=[
                    *("", "detector", "AUC", "speech found", "silence taken for it"),
                    *("missed, %", "no end, %", "false starts a minute", "start, ms", "stop, ms"),
                ],
                rows=judged,
            ),
            Table(
                title="Without any speech: % of the time taken for speech",
                columns=["", *detectors],
                rows=quiet,
            ),
            Table(
                title="Turn detectors: sentences that are whole, and cut off",
                columns=["", "AUC", "whole: mean", "cut: mean", "right at 0.5, %", "CPU ms"],
                rows=rows,
            ),
            Table(
                title=f"Costs; memory is that of one more session, the mean of {LINES}",
                columns=[
                    "",
                    "frame, ms",
                    "CPU µs a frame, or a question",
                    "% of a core a session",
                    "kB a session",
                ],
                rows=[*costs, *reducers, *asking],
            ),
        ],
        series=series,
        notes=[
            "Speech found and silence taken for it: shares at a probability of 0.5. Missed: "
            "nothing was noticed of the sentence. No end: no stop was noticed in the pause after "
            "it. Start and stop: after those of the voice, median.",
            f"{len(speaking)} voices ({', '.join(voice.name for voice in speaking)}), {count} "
            f"sentences; 10 ms are judged at a time, but none within {EDGE * 10} ms of a change.",
            f"A turn detector is reckoned to be asked {QUESTIONS_A_MINUTE} times a minute; one "
            "that reads is asked more often, with every interim transcript.",
            *notes,
        ],
    )


# ── where people speak ──────────────────────────────────────────────────────────────────────


def _places(
    speaking: Sequence[Voice], recorded: dict[str, Line]
) -> dict[str, list[tuple[Line, Truth]]]:
    """The voices' sentences in every kind of place."""
    clean = [stream(voice) for voice in speaking]
    quiet = [(sound + noise("white", len(sound), ROOM_LEVEL), truth) for sound, truth in clean]
    places = {
        "quiet room": quiet,
        "telephone": [(telephone(sound), truth) for sound, truth in quiet],
    }
    for kind in (*NOISES, *recorded):
        for below in (10, 0):
            level = SPEECH_LEVEL * 10 ** (-below / 20)
            places[f"{kind}, {below} dB"] = [
                (sound + noise(kind, len(sound), level, recorded=recorded.get(kind)), truth)
                for sound, truth in clean
            ]
    return places


def _without_speech(recorded: dict[str, Line]) -> dict[str, Line]:
    samples = 20 * RATE
    alone = {
        "digital silence": np.zeros(samples),
        "quiet room": noise("white", samples, ROOM_LEVEL),
    }
    for kind in (*NOISES, *recorded):
        alone[kind] = noise(kind, samples, SPEECH_LEVEL, recorded=recorded.get(kind))
    return alone


# ── voice detectors ─────────────────────────────────────────────────────────────────────────


def _makers(kind: str, notes: list[str]) -> dict[str, Callable[[], Any]]:
    """What makes each plugin of a kind that can be made here."""
    makers: dict[str, Callable[[], Any]] = {}
    for name in registry.installed(kind):
        try:
            registry.create(kind, name)
        except ConfigurationError as error:
            notes.append(f"{kind} {name} is left out: {error}.")
            continue
        makers[name] = lambda name=name: registry.create(kind, name)
    return makers


def _frames(detector: VoiceActivityDetector, sound: Line) -> list[bytes]:
    pcm = convert(pcm_of(sound), pcm16(RATE), pcm16(detector.rate))
    size = 2 * detector.frame_samples
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def _heard(detector: VoiceActivityDetector, sound: Line) -> Line:
    """The probability in each moment: that of the frame in whose time its middle lies."""
    found = np.array([detector.process(frame) for frame in _frames(detector, sound)])
    middles = (np.arange(len(sound) // MOMENT) + 0.5) / 100
    frame = (middles * detector.rate / detector.frame_samples).astype(int)
    return found[np.minimum(frame, len(found) - 1)]


def _scores(found: Sequence[tuple[Line, Truth]]) -> tuple[float, float, float]:
    """Area under the curve, and at 0.5 the shares of hits and of false alarms."""
    probabilities: list[Line] = []
    truths: list[Truth] = []
    for heard, truth in found:
        changes = np.flatnonzero(np.diff(truth.astype(int)))
        is_judged = np.ones(len(truth), bool)
        for at in changes:
            is_judged[max(0, at + 1 - EDGE) : at + 1 + EDGE] = False
        probabilities.append(heard[: len(truth)][is_judged])
        truths.append(truth[is_judged])
    heard, truth = np.concatenate(probabilities), np.concatenate(truths)
    speech, rest = heard[truth], heard[~truth]
    return area(speech, rest), float(np.mean(speech > 0.5)), float(np.mean(rest > 0.5))


def area(positive: Line, negative: Line) -> float:
    """How often one that should be higher is higher than one that should not; a tie is a half."""
    below = np.searchsorted(np.sort(negative), positive, side="left")
    upto = np.searchsorted(np.sort(negative), positive, side="right")
    return float(np.mean((below + upto) / 2) / len(negative))


def _session(
    make: Callable[[], VoiceActivityDetector], lines: Sequence[tuple[Line, Truth]]
) -> list[float | None]:
    """What a session with the default settings would have noticed, and when."""
    missed = unended = false = total = 0
    minutes = 0.0
    starts: list[float] = []
    stops: list[float] = []
    for sound, truth in lines:
        sentences = stretches(truth)
        total += len(sentences)
        minutes += len(truth) / 6000
        began, ended = _noticed(make(), sound)
        for start, end in sentences:
            first = next((at for at in began if start - EDGE <= at <= end), None)
            # A voice that was on before the sentence began has not missed it.
            is_on = sum(at < start for at in began) > sum(at < start for at in ended)
            if first is not None and not is_on:
                starts.append(10 * (first - start))
            missed += first is None and not is_on
            stop = next((at for at in ended if end <= at <= end + PAUSE_SECONDS * 100), None)
            unended += stop is None
            if stop is not None:
                stops.append(10 * (stop - end))
        # Within a sentence, a voice may stop and start again.
        false += sum(not any(start - EDGE <= at <= end for start, end in sentences) for at in began)
    return [
        rounded(100 * missed / total, 1),
        rounded(100 * unended / total, 1),
        rounded(false / minutes, 1),
        rounded(percentile(starts, 50), 0),
        rounded(percentile(stops, 50), 0),
    ]


def _noticed(detector: VoiceActivityDetector, sound: Line) -> tuple[list[float], list[float]]:
    """The moments at which a voice was noticed to start, and to stop."""
    segmenter = VoiceSegmenter(VoiceSettings(), detector.rate)
    began: list[float] = []
    ended: list[float] = []
    for at, frame in enumerate(_frames(detector, sound), 1):
        moment = at * detector.frame_samples / detector.rate * 100
        match segmenter.hear(detector.process(frame), detector.frame_samples):
            case VoiceStarted():
                began.append(moment)
            case VoiceStopped():
                ended.append(moment)
            case None:
                pass
    return began, ended


# ── turn detectors ──────────────────────────────────────────────────────────────────────────

type Question = tuple[Callable[[], float], bool]
"""What asks a detector, and whether the turn is over."""


def _judges(
    notes: list[str], model: Path | None
) -> tuple[dict[str, TurnDetector | ListeningTurnDetector], dict[str, dict[str, str]]]:
    """Each turn detector that can be made here, and its settings."""
    judges: dict[str, TurnDetector | ListeningTurnDetector] = {}
    given: dict[str, dict[str, str]] = {}
    for name in registry.installed("turns"):
        made = registry.load("turns", name)
        has_model = model is not None and "model" in inspect.signature(made).parameters
        settings = {"model": str(model)} if has_model else {}
        try:
            judges[name] = made(**settings)
        except ConfigurationError as error:
            notes.append(f"turns {name} is left out: {error}.")
            continue
        given[name] = settings
    return judges, given


def _questions(
    detector: TurnDetector | ListeningTurnDetector, spoken: Sequence[Turn]
) -> dict[str, list[Question]]:
    """What a detector is asked: about sound by kind of voice, or about words by spelling."""
    asked: dict[str, list[Question]] = {}
    if isinstance(detector, ListeningTurnDetector):
        for turn in spoken:
            pcm = convert(pcm_of(turn.sound), pcm16(RATE), pcm16(detector.rate))
            question = partial(_listen, detector, pcm), turn.is_complete
            asked.setdefault(turn.voice.split()[0], []).append(question)
        return asked
    for one in transcripts():
        question = partial(detector.probability, one.text), one.is_complete
        asked.setdefault(one.spelling, []).append(question)
    return asked


def _listen(detector: ListeningTurnDetector, pcm: bytes) -> float:
    return asyncio.run(detector.probability(pcm))


def _judge(
    label: str, questions: Sequence[Question], series: dict[str, Any], numbers: dict[str, Number]
) -> list[Cell]:
    """One detector, and questions of one kind."""
    questions[0][0]()  # the first answer of a model takes longer
    began = process_time()
    found = [(ask(), is_complete) for ask, is_complete in questions]
    milliseconds = (process_time() - began) * 1000 / len(questions)
    whole = np.array([answer for answer, is_complete in found if is_complete])
    cut = np.array([answer for answer, is_complete in found if not is_complete])
    auc = area(whole, cut)
    right = mean((answer > 0.5) == is_complete for answer, is_complete in found)
    series["turns"][label] = {"whole": whole.tolist(), "cut": cut.tolist()}
    numbers[f"{label}: AUC of turns"] = Number(value=rounded(auc), unit="0 to 1")
    numbers[f"{label}: CPU"] = Number(value=rounded(milliseconds, 4), unit="ms a turn")
    return [
        label,
        rounded(auc),
        rounded(float(whole.mean())),
        rounded(float(cut.mean())),
        rounded(100 * right, 1),
        rounded(milliseconds, 4),
    ]


# ── costs ───────────────────────────────────────────────────────────────────────────────────


def _cost(
    name: str, make: Callable[[], VoiceActivityDetector], numbers: dict[str, Number]
) -> list[Cell]:
    """Half of the time somebody speaks, so that a detector may save what it can in the rest."""
    speech = np.concatenate([line_of(spoken_vowels(RATE, 5.0)), np.zeros(5 * RATE)])
    detector = make()
    frames = _frames(detector, speech + noise("white", len(speech), ROOM_LEVEL))
    for frame in frames:
        detector.process(frame)
    microseconds = _time(detector.process, frames)
    return _row(f"vad {name}", detector, microseconds, _memory("vad", name), numbers)


def _reducer_cost(
    name: str, make: Callable[[], NoiseReducer], numbers: dict[str, Number]
) -> list[Cell]:
    reducer = make()
    pcm = convert(pcm_of(noise("pink", 5 * RATE, 500)), pcm16(RATE), pcm16(reducer.rate))
    size = 2 * reducer.frame_samples
    frames = [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]
    microseconds = _time(reducer.process, frames)
    return _row(f"noise {name}", reducer, microseconds, _memory("noise", name), numbers)


def _question_cost(name: str, settings: dict[str, str], numbers: dict[str, Number]) -> list[Cell]:
    """What questions of all kinds took, in the mean, and what one more detector takes."""
    asked = [
        number.value
        for label, number in numbers.items()
        if label.startswith(f"{name}, ") and number.unit == "ms a turn" and number.value is not None
    ]
    microseconds = mean(asked) * 1000
    share = microseconds / 1e6 * QUESTIONS_A_MINUTE / 60 * 100
    kilobytes = _memory("turns", name, settings)
    label = f"turns {name}"
    numbers[f"{label}: core"] = Number(value=rounded(share, 4), unit="% of a core a session")
    numbers[f"{label}: memory"] = Number(value=rounded(kilobytes, 1), unit="kB a session")
    return [label, None, rounded(microseconds, 1), rounded(share, 4), rounded(kilobytes, 1)]


def _row(
    label: str,
    plugin: VoiceActivityDetector | NoiseReducer,
    microseconds: float,
    kilobytes: float | None,
    numbers: dict[str, Number],
) -> list[Cell]:
    milliseconds = plugin.frame_samples * 1000 / plugin.rate
    share = microseconds / milliseconds / 10
    numbers[f"{label}: CPU"] = Number(value=rounded(microseconds, 1), unit="µs a frame")
    numbers[f"{label}: core"] = Number(value=rounded(share, 3), unit="% of a core a session")
    numbers[f"{label}: memory"] = Number(value=rounded(kilobytes, 1), unit="kB a session")
    cells = rounded(microseconds, 1), rounded(share, 3), rounded(kilobytes, 1)
    return [label, milliseconds, *cells]


def _time(process: Callable[[bytes], object], frames: Sequence[bytes]) -> float:
    began = process_time()
    for frame in frames:
        process(frame)
    return (process_time() - began) * 1e6 / len(frames)


_GROWTH = """
import json, os, random, sys
from pathlib import Path
from beluga_voice import registry
kind, name, count, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])

def make():
    made = registry.create(kind, name, **settings)
    if hasattr(made, "process"):
        for _ in range(20):
            made.process(random.randbytes(2 * made.frame_samples))
    return made

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024

kept = [make() for _ in range(count)]
before = resident()
kept += [make() for _ in range(count)]
print((resident() - before) / count)
"""
"""In a process of its own, where no memory was freed that could be used again."""


def _memory(kind: str, name: str, settings: dict[str, str] | None = None) -> float | None:
    """Kilobytes by which a process grows with each further plugin, in use."""
    if not Path("/proc/self/statm").exists():
        return None
    command = [sys.executable, "-c", _GROWTH, kind, name, str(LINES), json.dumps(settings or {})]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# ── the picture ─────────────────────────────────────────────────────────────────────────────


def draw(result: Result, path: Path) -> None:
    """What was told apart, what was taken for speech, turns, and costs."""
    from benchmarks.pictures import FLOOR, FOURTH, OURS, THIRD, canvas, save

    colours = [OURS, THIRD, FOURTH, FLOOR]
    figure, (told, alarms, turned, cost) = canvas(2, rows=2, width=11, height=8.5)
    for axes, key, factor in ((told, "auc", 1.0), (alarms, "alarms", 100.0)):
        names = list(result.series[key])
        places: list[str] = list(next(iter(result.series[key].values()), ()))
        for at, name in enumerate(names):
            middle = np.arange(len(places)) + (at - (len(names) - 1) / 2) * 0.8 / len(names)
            lengths = [factor * value for value in result.series[key][name].values()]
            colour = colours[at % len(colours)]
            axes.barh(middle, lengths, height=0.8 / len(names), color=colour, label=name)
        axes.set_yticks(range(len(places)), places)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
    told.set(xlim=(0.45, 1.0), xlabel="area under the curve (0.5 is chance)")
    told.set_title("Speech told from the rest")
    alarms.set(xlim=(0, 100), xlabel="% of the time, without any speech")
    alarms.set_title("Taken for speech")
    alarms.legend(loc="upper right", fontsize=8.5)
    rng = np.random.default_rng(1)
    for at, judged in enumerate(result.series["turns"].values()):
        for shift, key, colour in ((-0.17, "whole", OURS), (0.17, "cut", THIRD)):
            values: NDArray[np.float64] = np.array(judged[key])
            spread = at + shift + rng.uniform(-0.1, 0.1, len(values))
            label = f"{key} sentences" if at == 0 else None
            turned.scatter(values, spread, s=14, alpha=0.6, color=colour, label=label)
    turned.set_yticks(range(len(result.series["turns"])), list(result.series["turns"]))
    turned.invert_yaxis()
    turned.set(xlim=(-0.03, 1.03), xlabel="probability that the turn is over")
    turned.set_title("Turns")
    turned.legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=2, fontsize=8.5)
    cost.barh(list(result.series["costs"]), list(result.series["costs"].values()), color=OURS)
    cost.set_xscale("log")
    cost.invert_yaxis()
    cost.grid(axis="y", visible=False)
    cost.set(xlabel="% of a core a session")
    cost.set_title("Cost")
    save(figure, path, result)
