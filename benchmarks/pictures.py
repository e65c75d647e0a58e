"""The look of the pictures: light, labelled, to be read at the width of a page."""

# pyright: reportUnknownMemberType=false
# matplotlib's methods are annotated in part only.
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from benchmarks.results import Result

OURS = "#1f6f8b"
FLOOR = "#9aa5ad"
THIRD = "#e09f3e"
FOURTH = "#8d5a97"
LIMIT = "#b23a48"

_STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#c8cdd0",
    "axes.labelcolor": "#333333",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ebed",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "font.size": 9.5,
    "legend.frameon": False,
}


def canvas(
    columns: int = 1, *, rows: int = 1, width: float = 8.0, height: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side, in our style."""
    plt.rcParams.update(_STYLE)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    return figure, [one for row in axes for one in row]


def save(figure: Figure, path: Path, result: Result) -> None:
    """Write a figure with a line below it that says where it was measured."""
    load = result.load_average[0]
    caption = (
        f"{result.date[:10]} · Python {result.python} · {result.cpu_count} × {result.cpu} · "
        f"load {load:g} at the end"
    )
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.text(0.01, 0.012, caption, fontsize=7.5, color="#777777")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def label_bars(axes: Axes, form: str = "%.3g", *, margin: float = 0.15) -> None:
    """Write each bar's length at its end, and leave room for it."""
    for container in axes.containers:
        if isinstance(container, BarContainer):
            axes.bar_label(container, fmt=form, padding=3, fontsize=8.5, color="#333333")
    axes.margins(x=margin)
