"""The picture of a compression report: what each layer held and holds, and what that costs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dart_keras.utils.plots import GREY, INDIGO, INK, RED, TEAL, set_scale, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches.
_ROW_HEIGHT = 0.3
_LETTER_WIDTH = 0.075


class Row(NamedTuple):
    """What is drawn of a layer.

    Attributes:
        name: The layer's path.
        before: Its parameters before compression.
        after: Its parameters after compression.
        error: The relative error of its outputs; `None` where nothing was changed.
        end_error: The relative error of the model's outputs; `None` where it is not known.
    """

    name: str
    before: int
    after: int
    error: float | None
    end_error: float | None


def draw_report(
    title: str, rows: Sequence[Row], end_error: float | None, path: str | Path | None
) -> "Figure":
    """Draw the parameters of each layer before and after, and next to them its errors.

    Args:
        title: The title.
        rows: One for each layer, from top to bottom.
        end_error: The relative error of the whole model's outputs; `None` where it is not known.
        path: Where to write the picture; `None` not to.
    """
    width = 9.8 + _LETTER_WIDTH * max(len(row.name) for row in rows)
    with styled_figure(width, 1.5 + _ROW_HEIGHT * len(rows), path) as figure:
        sizes, errors = figure.subplots(1, 2, sharey=True, width_ratios=(5, 4))
        _draw_sizes(sizes, rows)
        _draw_errors(errors, rows, end_error)
        for axes in (sizes, errors):
            axes.set_ylim(len(rows) - 0.4, -0.6)
            axes.grid(axis="y")
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
        sizes.set_yticks(range(len(rows)), [row.name for row in rows])
        figure.suptitle(title)
        keys, labels = (
            [*a, *b]
            for a, b in zip(
                sizes.get_legend_handles_labels(), errors.get_legend_handles_labels(), strict=True
            )
        )
        figure.legend(keys, labels, loc="outside lower center", ncols=5)
    return figure


def _draw_sizes(axes: "Axes", rows: Sequence[Row]) -> None:
    places = range(len(rows))
    before, after = [row.before for row in rows], [row.after for row in rows]
    changed = [place for place in places if before[place] != after[place]]
    axes.hlines(places, after, before, color=GREY, linewidth=2)
    axes.scatter(before, places, s=36, color=GREY, label="before", zorder=3)
    axes.scatter([after[k] for k in changed], changed, s=36, color=TEAL, label="after", zorder=4)
    set_scale(axes, "x", [*before, *after])
    axes.set_xlabel("parameters")
    for place, row in enumerate(rows):
        if place in changed:
            _write(axes, 1.02, place, f"{row.before:,} → {row.after:,}", INK)
        else:
            _write(axes, 1.02, place, f"{row.before:,}", GREY)


def _draw_errors(axes: "Axes", rows: Sequence[Row], end_error: float | None) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    most = end_error or 0.0
    for name, label, color, size, column in (
        ("error", "error of the layer's outputs", INDIGO, 36, 1.04),
        ("end_error", "error of the model's outputs up to it", RED, 18, 1.26),
    ):
        values = [getattr(row, name) for row in rows]
        points = [(value, place) for place, value in enumerate(values) if value is not None]
        if points:
            x, y = zip(*points, strict=True)
            axes.scatter(x, y, s=size, color=color, label=label, zorder=3)
            most = max(most, *(value for value, _ in points))
        for value, place in points:
            _write(axes, column, place, f"{value:.1%}", color)
    if end_error is not None:
        label = f"error of the whole model, {end_error:.2%}"
        axes.axvline(end_error, color=RED, linewidth=1.2, linestyle=":", label=label)
    axes.set_xlim(-0.03 * most, 1.05 * most or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
    axes.set_xlabel("relative error")


def _write(axes: "Axes", x: float, place: int, text: str, color: str) -> None:
    """Write a value to the right of a row, `x` being 1 at the end of the axes."""
    axes.annotate(text, (x, place), xycoords=("axes fraction", "data"), va="center", color=color)
