"""The picture of size and loss on their way to a target."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dart_keras.utils.plots import GREY, INDIGO, INK, RED, TEAL, set_scale, styled_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 7.0
_HEIGHT = 4.4
# Of what the target limits, and of what is drawn beside it.
_SIZE_COLORS = (TEAL, GREY)
_LOSS_COLORS = (INDIGO, GREY)


def draw_targets(
    epochs: Sequence[int],
    sizes: Mapping[str, Sequence[float]],
    unit: str,
    losses: Mapping[str, Sequence[float]],
    loss_name: str,
    size_target: float | None,
    loss_limit: float | None,
    cuts: Sequence[int],
    path: str | Path | None,
) -> "Figure":
    """Draw size and loss over the epochs, one panel above the other.

    Args:
        epochs: The epochs, counted from 0.
        sizes: By the name in the legend, a size for each epoch. The first is the one with a target.
        unit: What the sizes count.
        losses: By the name in the legend, a loss for each epoch; NaN where there is none. The first
            is the one with a limit.
        loss_name: What kind of loss it is.
        size_target: Where to draw a line among the sizes.
        loss_limit: Where to draw a line among the losses.
        cuts: After how many epochs ranks were truncated.
        path: Where to write the picture; `None` not to.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    with styled_figure(_WIDTH, _HEIGHT, path) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        # Before the limits are set, which a change of the scale would forget.
        upper.set_yscale("log")
        for cut in cuts:
            # Between the last epoch before it and the first one after it.
            marks = [axes.axvline(cut + 0.5, color=INK, lw=1, ls=":") for axes in (upper, lower)]
            marks[0].set_label("truncation" if cut == cuts[0] else None)
        _draw_panel(upper, epochs, sizes, _SIZE_COLORS, size_target, "target {:,}")
        upper.yaxis.set_minor_locator(NullLocator())
        upper.set(title="size", ylabel=unit)
        _draw_panel(lower, epochs, losses, _LOSS_COLORS, loss_limit, "limit {:.4g}")
        lower.set(title="loss", ylabel=loss_name, xlabel="epoch")
        lower.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True))
    return figure


def _draw_panel(
    axes: "Axes",
    epochs: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    colors: Sequence[str],
    target: float | None,
    target_label: str,
) -> None:
    drawn = [] if target is None else [float(target)]
    for color, (label, values) in zip(colors, curves.items(), strict=False):
        seen = [
            (epoch + 1, value)
            for epoch, value in zip(epochs, values, strict=True)
            if math.isfinite(value)
        ]
        if seen:
            axes.plot(*zip(*seen, strict=True), color=color, marker="o", ms=3, lw=1.4, label=label)
            drawn += [value for _, value in seen]
    if target is not None:
        label = target_label.format(target)
        axes.axhline(target, color=RED, lw=1.2, linestyle="--", label=label)
    if drawn and min(drawn) > 0:
        set_scale(axes, "y", drawn)
    axes.grid(axis="y")
    if axes.get_legend_handles_labels()[0]:
        # Beside the panel, where it hides nothing.
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
