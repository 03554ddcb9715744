"""The picture of a sensitivity: a heat map of errors by layer and size."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dart_keras.utils.plots import INK, color_map, styled_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches.
_ROW_HEIGHT = 0.32
_COLUMN_WIDTH = 0.8
_LETTER_WIDTH = 0.075


def draw_heat_map(
    title: str,
    errors: Mapping[str, Sequence[float]],
    columns: Sequence[str],
    axis: str,
    path: str | Path | None,
) -> "Figure":
    """Draw errors by layer and column, each written in its cell.

    Args:
        title: The title.
        errors: By layer the error in each column, NaN where there is none. Columns without any are
            left out.
        columns: The columns' names.
        axis: What the columns are.
        path: Where to write the picture; `None` not to.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    values = np.array(list(errors.values()))
    known = np.isfinite(values).any(axis=0)
    values, columns = (
        values[:, known],
        [name for name, some in zip(columns, known, strict=True) if some],
    )
    rows, width = len(values), len(columns) * _COLUMN_WIDTH
    names = max(map(len, errors)) * _LETTER_WIDTH
    with styled_figure(1.7 + names + width, 1.1 + rows * _ROW_HEIGHT, path) as figure:
        axes = figure.subplots()
        # Errors of zero have no logarithm.
        positive = np.maximum(values, 1e-6)
        least, most = np.nanmin(positive), np.nanmax(positive)
        # Dark is what is lost.
        scale = LogNorm(min(least, most / 2), most)
        colors = color_map().reversed()
        image = axes.pcolormesh(positive, norm=scale, cmap=colors, edgecolor="white", linewidth=1.5)
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = colors(scale(positive[i, j]))
                dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
                axes.text(
                    j + 0.5,
                    i + 0.5,
                    _percent(value),
                    ha="center",
                    va="center",
                    color="white" if dark else INK,
                )
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axes.set_yticks(np.arange(rows) + 0.5, list(errors))
        axes.set_xlabel(axis)
        axes.invert_yaxis()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        ticks = LogLocator(subs=(1, 2, 5) if rows > 2 else (1,))
        bar = figure.colorbar(image, ticks=ticks, aspect=max(6, 2 * rows))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        bar.ax.yaxis.set_minor_locator(NullLocator())
        bar.outline.set_visible(False)
        figure.suptitle(title)
    return figure


def _percent(value: float) -> str:
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"
