"""Size against validation loss, one panel a problem."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.no_knob.front import Cell, sound
from benchmarks.no_knob.problem import Problem
from benchmarks.no_knob.ways import WAYS
from dart_keras.utils.plots import GREY, INDIGO, INK, RED, TEAL, set_scale, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
# Colour and marker; the oracle's runs are dots, and dense layers a line.
_MARKS = {
    "uncut": (INK, "x"),
    "fixed": (INK, "s"),
    "prior": (INDIGO, "^"),
    "steered": (INDIGO, "v"),
    "nested": (INDIGO, "D"),
    "size": (RED, "o"),
    "loss": (RED, "*"),
    "grow": (TEAL, ">"),
    "shrink": (TEAL, "<"),
}


def draw(cells: Sequence[Cell], problems: Mapping[str, Problem], path: Path) -> None:
    """Draw the cells.

    Args:
        cells: The cells of the results.
        problems: The problems by name.
        path: Where to write the picture.
    """
    whole = sound(cells)
    names = [name for name in problems if any(cell["problem"] == name for cell in whole)]
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    with styled_figure(3.6 * columns, 2.9 * rows + 0.5, path) as figure:
        grid = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axes, name in zip(grid, names, strict=False):
            axes.set_title(problems[name].title)
            _draw_problem(axes, [cell for cell in whole if cell["problem"] == name])
            axes.axvline(problems[name].target, color=GREY, linewidth=0.8, linestyle=":")
        for axes in grid[len(names) :]:
            axes.set_axis_off()
        figure.supxlabel("parameters of the TT layers' cores; dotted: the target")
        figure.supylabel("validation loss")
        # Each way once, whatever the panels have.
        entries = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(entries.values(), entries, loc="outside upper center", ncols=6)


def _draw_problem(axes: "Axes", cells: list[Cell]) -> None:
    by_way = {way: [cell for cell in cells if cell["way"] == way] for way in WAYS}
    sizes, losses = [], []
    for way in ("oracle", *_MARKS):
        points = [(cell["size"], cell["validation_loss"]) for cell in by_way[way]]
        points = [point for point in points if math.isfinite(point[1])]
        if points:
            x, y = map(list, zip(*points, strict=True))
            sizes += x
            losses += y
            if way == "oracle":
                axes.plot(x, y, ".", color=GREY, markersize=3, label="oracle's runs")
            else:
                color, marker = _MARKS[way]
                label = f"{way}: {WAYS[way].title}" if way in ("size", "loss") else way
                axes.plot(
                    np.mean(x),
                    np.mean(y),
                    marker,
                    color=color,
                    markersize=6,
                    label=label,
                    alpha=0.9,
                    # Ours are seen where marks are on top of each other.
                    zorder=4 if way in ("size", "loss") else 3,
                )
    if dense := by_way["dense"]:
        mean = float(np.mean([cell["validation_loss"] for cell in dense]))
        axes.axhline(mean, color=GREY, linewidth=1, label="dense")
        losses.append(mean)
    if sizes:
        set_scale(axes, "x", sizes)
    # Ruined runs are out of the picture.
    if losses:
        set_scale(axes, "y", [loss for loss in losses if loss <= 3 * min(losses)])
    axes.grid()
