"""The picture of singular values that fall while a model trains."""

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dart_keras.utils.plots import INK, RED, color_map, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Relative singular values below this are noise of float32.
_FLOOR = 1e-8
# The most bonds that are drawn in one column, in two, and in three.
_MOST_IN_COLUMNS = (3, 8, 18)
# Inches, by the number of columns.
_PANEL_WIDTHS = (7.0, 4.6, 3.8, 3.2)
_PANEL_HEIGHT = 2.2
_LETTERS_PER_INCH = 12


def draw_singular_values(
    epochs: Sequence[int],
    singular_values: Mapping[str, Sequence[np.ndarray]],
    threshold: float | None,
    path: str | Path | None,
) -> "Figure":
    """Draw the singular values of each bond in a panel of its own.

    Args:
        epochs: The epochs, counted from 0.
        singular_values: By `<layer>/<bond>`, a descending array for each epoch.
        threshold: Where to draw a line, relative to the largest singular value.
        path: Where to write the picture; `None` not to.
    """
    bonds = len(singular_values)
    columns = 1 + sum(bonds > most for most in _MOST_IN_COLUMNS)
    rows = math.ceil(bonds / columns)
    width = _PANEL_WIDTHS[columns - 1]
    ranks = max(len(v) for history in singular_values.values() for v in history)
    size = (columns * width + 0.8, rows * _PANEL_HEIGHT + 0.9)
    with styled_figure(*size, path) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (bond, history) in zip(grid.flat, singular_values.items(), strict=False):
            _draw_bond(axes, np.array(epochs) + 1, history, ranks)
            axes.set_title(_title(bond, history, width))
            if threshold is not None:
                axes.axhline(threshold, color=RED, linewidth=1.2, linestyle="--")
        _set_scales(grid[0, 0])
        for axes in grid.flat[bonds:]:
            axes.remove()
        # What is above a removed panel is the last of its column.
        for axes in grid.flat[max(0, bonds - columns) : bonds]:
            axes.tick_params(labelbottom=True)
        figure.supxlabel("epoch")
        figure.supylabel("relative singular value")
        _add_keys(figure, grid.flat[:bonds], ranks, threshold)
    return figure


def _draw_bond(axes: "Axes", epochs: np.ndarray, history: Sequence[np.ndarray], ranks: int) -> None:
    for i in range(max(map(len, history))):
        seen = [
            (epoch, max(values[i] / (values[0] or 1.0), _FLOOR))
            for epoch, values in zip(epochs, history, strict=True)
            if i < len(values)
        ]
        # The small ranks, which stay, get the most of the colours.
        color = color_map()(math.log(i + 1) / max(math.log(ranks), 1))
        marker = "o" if len(seen) == 1 else ""
        axes.plot(*zip(*seen, strict=True), color=color, lw=1.2, marker=marker, markersize=3)
    for epoch, before, after in zip(epochs, history, history[1:], strict=False):
        if len(after) < len(before):
            axes.axvline(epoch + 0.5, color=INK, linewidth=1, linestyle=":")


def _title(bond: str, history: Sequence[np.ndarray], width: float) -> str:
    layer, _, number = bond.rpartition("/")
    first, last = len(history[0]), len(history[-1])
    # No-break spaces.
    rank = f"rank\u00a0{first}" + (f"\u00a0→\u00a0{last}" if first != last else "")
    # A long name is broken after an underscore or a slash.
    text = re.sub(r"([_/])", r"\1 ", f"{layer}, bond {number}: {rank}")
    lines = textwrap.wrap(text, int(_LETTERS_PER_INCH * width))
    return re.sub(r"([_/]) ", r"\1", "\n".join(lines))


def _set_scales(axes: "Axes") -> None:
    """Show every value that is drawn; all panels share the scales of one."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    drawn = [
        line.get_ydata()
        for each in axes.figure.axes
        for line in each.lines
        if line.get_linestyle() == "-"
    ]
    values = np.concatenate(drawn)
    least = np.min(values, initial=0.5, where=np.isfinite(values))
    axes.set(yscale="log", ylim=(least / 1.7, 1.7))
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))


def _add_keys(figure: "Figure", panels: Any, ranks: int, threshold: float | None) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm
    from matplotlib.lines import Line2D

    keys = []
    if threshold is not None:
        label = f"threshold {threshold:g}"
        keys.append(Line2D([], [], color=RED, lw=1.2, linestyle="--", label=label))
    if any(line.get_linestyle() == ":" for axes in panels for line in axes.lines):
        keys.append(Line2D([], [], color=INK, lw=1, linestyle=":", label="truncation"))
    if keys:
        figure.legend(handles=keys, loc="outside upper right", ncols=2)
    if ranks > 1:
        order = ScalarMappable(LogNorm(1, ranks), color_map())
        ticks = [2**k for k in range(math.floor(math.log2(ranks)) + 1)]
        height = min(1.0, 3 * _PANEL_HEIGHT / figure.get_figheight())
        bar = figure.colorbar(
            order, ax=list(panels), ticks=ticks, shrink=height, anchor=(0, 1), aspect=30
        )
        bar.set_ticklabels([str(tick) for tick in ticks])
        bar.set_label("place among the singular values")
        bar.minorticks_off()
        bar.ax.invert_yaxis()
        bar.outline.set_visible(False)
