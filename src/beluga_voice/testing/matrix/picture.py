"""Draws the matrix: how long it took to recover, as a heat map in SVG."""

import math
from collections.abc import Sequence
from html import escape

from beluga_voice.testing.matrix.cells import Result
from beluga_voice.testing.matrix.report import seconds
from beluga_voice.testing.matrix.stages import STAGES

_LEFT, _TOP, _CELL, _ROW = 230, 150, 46, 14
_FONT = 'font-family="sans-serif"'
_SCALE = (
    (50.0, "#e8f3ec", "not noticed"),
    (500.0, "#bfe0ca", "up to 0.5 s"),
    (1500.0, "#f4e6a2", "up to 1.5 s"),
    (3500.0, "#f2bd6b", "up to 3.5 s"),
    (7000.0, "#e0814f", "up to 7 s"),
    (10_000.0, "#c2453d", "up to 10 s"),
    (math.inf, "#7c1f2c", "longer, or never"),
)
_UNSTRUCK = "#f2f2f2"
_BROKEN = "#1d1d8f"


def draw(results: Sequence[Result]) -> str:
    """The picture, as the text of an SVG file: a row for each fault and phase."""
    found: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for one in results:
        row = found.setdefault((one.cell.fault, one.cell.phase), {})
        row.setdefault(one.cell.stage, []).append(one)
    columns = [name for name in STAGES if any(name in row for row in found.values())]
    width = _LEFT + _CELL * len(columns) + 20
    height = _TOP + _ROW * len(found) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">',
        '<rect width="100%" height="100%" fill="white"/>',
        *_head(columns),
    ]
    for number, (key, row) in enumerate(sorted(found.items())):
        parts += _row(key, row, columns, _TOP + number * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(columns: Sequence[str]) -> list[str]:
    title = "From the moment at which an answer was due to the first speech: the worst of each"
    parts = [_text(10, 22, title, size=14)]
    x = 10.0
    entries = [*((colour, text) for _, colour, text in _SCALE), (_UNSTRUCK, "it never struck")]
    for colour, text in entries:
        parts.append(_box(x, 34, 14, 10, colour))
        parts.append(_text(x + 18, 43, text, size=10))
        x += 34 + 5.6 * len(text)
    parts.append(_text(10, 62, "outlined: a bound is broken", size=10))
    for number, name in enumerate(columns):
        x = _LEFT + number * _CELL + _CELL / 2
        parts.append(
            f'<text x="{x:g}" y="{_TOP - 6}" {_FONT} font-size="10" fill="#333333" '
            f'transform="rotate(-50 {x:g} {_TOP - 6})">{escape(name)}</text>'
        )
    return parts


def _row(
    key: tuple[str, str], row: dict[str, list[Result]], columns: Sequence[str], top: float
) -> list[str]:
    parts = [_text(10, top + 10, " / ".join(key), size=10)]
    for number, name in enumerate(columns):
        if (results := row.get(name)) is None:
            continue
        struck = [one.measured.recovery_ms for one in results if one.measured.struck]
        worst = max(struck, default=None)
        colour = _UNSTRUCK if worst is None else _colour(worst)
        shown = "it never struck" if worst is None else f"{seconds(worst)} s".replace("r s", "r")
        wrong = [problem.text for one in results for problem in one.problems]
        told = "; ".join([f"{'/'.join(key)}/{name}: {shown}", *dict.fromkeys(wrong)])
        outline = f' stroke="{_BROKEN}" stroke-width="1.5"' if wrong else ""
        x = _LEFT + number * _CELL
        parts.append(
            f'<rect x="{x:g}" y="{top:g}" width="{_CELL - 2}" height="{_ROW - 2}" '
            f'fill="{colour}"{outline}><title>{escape(told)}</title></rect>'
        )
    return parts


def _colour(milliseconds: float) -> str:
    return next(colour for most, colour, _ in _SCALE if milliseconds <= most)


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, size: int) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" {_FONT} font-size="{size}" fill="#333333">{escape(text)}</text>'
    )
