"""A Piper voice made by hand, in the format of the real ones, that spells in tones.

Real voices are a download; this one is computed here, and the libraries that run it are the real
ones, as they are. It is a network with the inputs and the output of Piper's own: the numbers of
sounds go in, samples come out. Each number sounds for `SYMBOL_SAMPLES`, divided by the speed, as a
tone of its own, and 0 is silence.

A voice of the kind "text" is given letters, so that what it said can be read in its sound; one of
the kind "espeak" is given the sounds of words, as most real voices are.

The network is written as the protocol buffer that it is: see `onnx.proto` of ONNX, version 1.
"""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RATE = 22050
SYMBOL_SAMPLES = 445
"""So that the ten words "one" to "ten" take two seconds."""
LETTERS = " abcdefghijklmnopqrstuvwxyzHF.?!,'"
_SOUNDS = "əʊˈɪːðɑɔɹŋθʃʌɛæ"
"""Of words, besides the letters."""
_PAD, _BEGIN, _END = 0, 1, 2
_FIRST = 3
_LOWEST, _STEP = 400, 90
"""The tone of the first number, and from one to the next, in hertz."""
_SPEAKER_STEP = 45
"""By how much a speaker's tones are higher than those of the one before, in hertz."""


def build(folder: Path, name: str, *, kind: str = "text", code: str = "en_US", speakers: int = 1):
    """Write a voice into a folder; gives the path of its network."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    path.write_bytes(_network(has_speakers=speakers > 1))
    letters = {letter: [_FIRST + place] for place, letter in enumerate(LETTERS + _SOUNDS)}
    described = {
        "audio": {"sample_rate": RATE, "quality": "hand"},
        "espeak": {"voice": code.split("_")[0]},
        "language": {"code": code},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": kind,
        "phoneme_id_map": {"_": [_PAD], "^": [_BEGIN], "$": [_END]} | letters,
        "num_symbols": len(letters) + _FIRST,
        "num_speakers": speakers,
        "speaker_id_map": {f"speaker {number}": number for number in range(speakers)},
    }
    if speakers == 1:
        described["speaker_id_map"] = {}
    Path(f"{path}.json").write_text(json.dumps(described), encoding="utf-8")
    return path


def letters_in(pcm: bytes, rate: int, *, speed: float = 1.0, speaker: int = 0) -> str:
    """What one sentence of a "text" voice spells; "^" begins and "$" ends it."""
    return "".join(symbol for symbol, _ in symbols_in(pcm, rate, speed=speed, speaker=speaker))


def symbols_in(
    pcm: bytes, rate: int, *, speed: float = 1.0, speaker: int = 0
) -> Iterator[tuple[str, int]]:
    """The letters of whole symbols, and the sample after each; pauses are skipped."""
    sound = np.frombuffer(pcm, dtype="<i2").astype(float)
    length = round(SYMBOL_SAMPLES / speed) * rate / RATE
    at = 0.0
    while round(at + length) <= len(sound):
        inner = sound[round(at + 0.2 * length) : round(at + 0.8 * length)]
        at += length
        if np.abs(inner).max() > 1000:
            spectrum = np.abs(np.fft.rfft(inner * np.hanning(len(inner)), 8192))
            tone = spectrum.argmax() * rate / 8192 - _LOWEST - speaker * _SPEAKER_STEP
            yield _letter(round(tone / _STEP)), round(at)


def _letter(number: int) -> str:
    marks = {_BEGIN: "^", _END: "$"}
    known = LETTERS + _SOUNDS
    return marks.get(number) or known[number - _FIRST : number - _FIRST + 1] or "¿"


# ── the network ─────────────────────────────────────────────────────────────────────────────

_FLOAT, _INT64 = 1, 7
_INT = 2
"""The kind of an attribute that is a number."""


def _network(*, has_speakers: bool) -> bytes:
    """sin(2 pi t f(number)), where a number is not 0, for all samples of all numbers in a row."""
    nodes = [
        _node("Cast", ["input"], "numbers", to=_FLOAT),
        _node("Mul", ["numbers", "step"], "steps"),
        _node("Add", ["steps", "lowest"], "plain_tones" if has_speakers else "tones"),
        *(_HIGHER if has_speakers else ()),
        _node("Slice", ["scales", "one", "two", "zero"], "length_scale"),
        _node("Mul", ["length_scale", "symbol_samples"], "exact_length"),
        _node("Round", ["exact_length"], "length"),
        _node("Squeeze", ["length", "zero"], "samples"),
        _node("Range", ["zero_samples", "samples", "one_sample"], "places"),
        _node("Unsqueeze", ["tones", "two"], "upright"),
        _node("Mul", ["upright", "places"], "turns"),
        _node("Mul", ["turns", "circle"], "phases"),
        _node("Sin", ["phases"], "waves"),
        _node("Sign", ["numbers"], "loud"),
        _node("Unsqueeze", ["loud", "two"], "upright_loud"),
        _node("Mul", ["waves", "upright_loud"], "sounds"),
        _node("Reshape", ["sounds", "row"], "output"),
    ]
    constants = [
        *(_float(name, value) for name, value in _NUMBERS.items()),
        *([_float("speaker_step", float(_SPEAKER_STEP))] if has_speakers else []),
        *(_longs(name, [value]) for name, value in (("zero", 0), ("one", 1), ("two", 2))),
        _longs("row", [1, 1, 1, -1]),
    ]
    inputs = [
        _shaped("input", _INT64, "batch", "numbers"),
        _shaped("input_lengths", _INT64, "batch"),
        _shaped("scales", _FLOAT, 3),
        *([_shaped("sid", _INT64, 1)] if has_speakers else []),
    ]
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _bytes(2, b"spelling"),
            *(_bytes(5, constant) for constant in constants),
            *(_bytes(11, each) for each in inputs),
            _bytes(12, _shaped("output", _FLOAT, "batch", 1, 1, "time")),
        ]
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, 13))


_NUMBERS = {
    "step": float(_STEP),
    "lowest": float(_LOWEST),
    "symbol_samples": float(SYMBOL_SAMPLES),
    "circle": 2 * np.pi / RATE,
    "zero_samples": 0.0,
    "one_sample": 1.0,
}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _node(kind: str, inputs: list[str], output: str, **attributes: int) -> bytes:
    return b"".join(
        [
            *(_bytes(1, name.encode()) for name in inputs),
            _bytes(2, output.encode()),
            _bytes(4, kind.encode()),
            *(
                _bytes(5, _bytes(1, name.encode()) + _number(3, value) + _number(20, _INT))
                for name, value in attributes.items()
            ),
        ]
    )


def _float(name: str, value: float) -> bytes:
    return _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, struct.pack("<f", value))


def _longs(name: str, values: list[int]) -> bytes:
    raw = _bytes(9, struct.pack(f"<{len(values)}q", *values))
    return _number(1, len(values)) + _number(2, _INT64) + _bytes(8, name.encode()) + raw


def _shaped(name: str, kind: int, *sizes: int | str) -> bytes:
    shape = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size.encode()))
        for size in sizes
    )
    tensor = _number(1, kind) + _bytes(2, shape)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


_HIGHER = (
    _node("Cast", ["sid"], "speaker", to=_FLOAT),
    _node("Mul", ["speaker", "speaker_step"], "higher"),
    _node("Add", ["plain_tones", "higher"], "tones"),
)
