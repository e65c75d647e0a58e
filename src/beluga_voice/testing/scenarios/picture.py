"""Draws scenarios: who spoke when, as one SVG picture with a timeline for each.

The caller is above the line and the agent below it. What of the agent was made and not heard is
hatched, from where it was cut. Meant for the agent, or not, is told by the colour.
"""

from collections.abc import Iterable
from html import escape

from beluga_voice.events import AgentResponseEnded, FunctionAnswered, FunctionCalled
from beluga_voice.testing.scenarios.judge import Judged
from beluga_voice.testing.scenarios.run import Played

_WIDTH = 1000
_LEFT = 330
_LANE = 11
_ROW = 44
_HEAD = 64
_TICKS = 20
_STEPS = (1, 5, 10, 60, 600, 3600, 1_000_000)
"""Seconds from one tick to the next: the first with which there are no more than `_TICKS`."""
_COLOURS = {
    "says": "#1f6f8b",
    "other_says": "#8d5a97",
    "backchannel": "#e09f3e",
    "aside": "#e0be3e",
    "noise": "#b0885a",
}
_LEGEND = [
    ("says", "meant for the agent"),
    ("other_says", "a second speaker"),
    ("backchannel", "listening"),
    ("aside", "to somebody else"),
    ("noise", "no words"),
]
_AGENT = "#3c7d4f"
_TOOL = "#9aa5ad"
_DEED = "#b23a48"
_FONT = 'font-family="sans-serif"'


def draw(all_judged: Iterable[Judged]) -> str:
    """The picture, as the text of an SVG file."""
    rows = [(one, played) for one in all_judged for played in one.played.values()]
    height = _HEAD + _ROW * len(rows) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 40}" '
        f'height="{height}" viewBox="0 0 {_LEFT + _WIDTH + 40} {height}">',
        '<defs><pattern id="unheard" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="6" height="6" fill="white"/>'
        f'<line x1="0" y1="0" x2="0" y2="6" stroke="{_AGENT}" stroke-width="2"/></pattern></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
        *_legend(),
    ]
    for number, (judged, played) in enumerate(rows):
        parts += _row(judged, played, _HEAD + number * _ROW)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    entries = [*((_COLOURS[kind], text) for kind, text in _LEGEND), (_AGENT, "agent, heard")]
    entries += [("url(#unheard)", "agent, unheard"), (_TOOL, "a tool runs"), (_DEED, "a deed")]
    parts = [_text(10, 24, "Who spoke when: the caller above, the agent below", size=15, bold=True)]
    x = 10.0
    for colour, text in entries:
        parts.append(_box(x, 38, 14, 10, colour))
        parts.append(_text(x + 19, 47, text, size=11))
        x += 40 + 6.2 * len(text)
    return parts


def _row(judged: Judged, played: Played, top: float) -> list[str]:
    """One timeline, as wide as it took long."""
    end = max(one.at * 1000 for one in played.happenings)
    scale = _WIDTH / max(end, 1)
    middle = top + 20.0

    def bar(begin: float, until: float, lane: float, colour: str, height: float = _LANE) -> str:
        begin, until = min(begin, end), min(until, end)
        return _box(_LEFT + begin * scale, lane, max((until - begin) * scale, 1), height, colour)

    mark = "" if judged.is_as_expected else "✗ "
    parts = [
        _text(10, top + 18, f"{mark}{judged.name}", size=12, bold=True),
        _text(10, top + 31, f"{played.stage}, {end / 1000:g} s", size=10),
        f'<line x1="{_LEFT}" x2="{_LEFT + _WIDTH}" y1="{middle}" y2="{middle}" stroke="#c8cdd0"/>',
    ]
    step = next(one for one in _STEPS if end / 1000 <= _TICKS * one)
    for tick in range(0, int(end / 1000) + 1, step):
        x = _LEFT + tick * 1000 * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 2}" y2="{middle + 2}" '
            f'stroke="#777777"><title>{tick} s</title></line>'
        )
    for uttered in played.utterances:
        for begin, until in uttered.parts:
            parts.append(bar(begin, until, middle - _LANE - 1, _COLOURS[uttered.step.deed]))
    for begin, until in _unheard(played):
        parts.append(bar(begin, until, middle + 1, "url(#unheard)"))
    for stretch in played.stretches:
        parts.append(bar(stretch.begin, stretch.end, middle + 1, _AGENT))
    for begin, until in _tools(played, end):
        parts.append(bar(begin, until, middle + _LANE + 3, _TOOL, 4))
    for at, deed in played.deeds:
        x = _LEFT + at * scale
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{middle - 15}" y2="{middle + 15}" '
            f'stroke="{_DEED}"><title>{escape(deed)}</title></line>'
        )
    return parts


def _unheard(played: Played) -> list[tuple[float, float]]:
    """For each response that was not heard to its end, when the rest would have sounded."""
    found: list[tuple[float, float]] = []
    for one in played.happenings:
        if isinstance(one.event, AgentResponseEnded):
            rest = one.event.generated_ms - one.event.heard_ms
            ends = [stretch.end for stretch in played.stretches if stretch.end <= one.at * 1000]
            if rest > 0 and ends:
                found.append((ends[-1], ends[-1] + rest))
    return found


def _tools(played: Played, end: float) -> list[tuple[float, float]]:
    """When a tool ran; one that was not answered for, to the end."""
    begun: dict[str, float] = {}
    runs: list[tuple[float, float]] = []
    for one in played.happenings:
        if isinstance(one.event, FunctionCalled):
            begun[one.event.call_id] = one.at * 1000
        elif isinstance(one.event, FunctionAnswered) and one.event.call_id in begun:
            runs.append((begun.pop(one.event.call_id), one.at * 1000))
    return runs + [(begin, end) for begin in begun.values()]


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    outline = f' stroke="{_AGENT}" stroke-width="0.6"' if colour.startswith("url") else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:g}" '
        f'fill="{colour}"{outline}/>'
    )


def _text(x: float, y: float, text: str, *, size: int, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" {_FONT} font-size="{size}"{weight} fill="#333333">'
        f"{escape(text)}</text>"
    )
