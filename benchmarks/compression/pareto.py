"""Pareto front of accuracy against size, and the distance of other points from it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

OURS = "dart_keras"
STYLES = {
    OURS: ("C0", "o"),
    "plain SVD": ("C1", "s"),
    "TT-SVD, one rank": ("C2", "^"),
    "pruning": ("C3", "v"),
    "clustering": ("C4", "D"),
}
FULL = "not compressed"


def margins(cells: Sequence[dict[str, Any]], trained: bool) -> dict[str, dict[str, float | None]]:
    """Return by how many points of accuracy our front is above each other point of the same size.

    Between two of our points, the front is linear in the logarithm of the size. A larger file with
    lower accuracy than a smaller one is not part of it.

    Args:
        cells: Dicts with "method", "epochs", "setting", "bytes" and "accuracy".
        trained: Whether to compare models trained after compression, or untrained ones.

    Returns:
        Margins by method and setting; `None` for files smaller than all of ours.
    """
    every = [cell for cell in cells if cell["method"] == FULL or bool(cell["epochs"]) == trained]
    front = sorted(
        (cell["bytes"], cell["accuracy"]) for cell in every if cell["method"] in (OURS, FULL)
    )
    sizes, heights = map(np.array, zip(*front, strict=True))
    heights = np.maximum.accumulate(heights)
    found: dict[str, dict[str, float | None]] = {}
    for cell in every:
        if cell["method"] not in (OURS, FULL):
            height = np.interp(np.log(cell["bytes"]), np.log(sizes), heights)
            margin = round(100 * float(height - cell["accuracy"]), 2)
            small = cell["bytes"] < sizes[0]
            found.setdefault(cell["method"], {})[cell["setting"]] = None if small else margin
    return found


def draw(cells: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot all methods, with a second panel for accuracies near the original's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    [full] = [cell for cell in cells if cell["method"] == FULL]
    figure, axes = plt.subplots(1, 2, figsize=(14, 6), layout="constrained")
    for axis in axes:
        for method, (color, marker) in STYLES.items():
            for trained in (False, True):
                line = sorted(
                    (cell["bytes"] / 1000, 100 * cell["accuracy"])
                    for cell in cells
                    if cell["method"] == method and bool(cell["epochs"]) == trained
                )
                if line:
                    axis.plot(
                        *zip(*line, strict=True),
                        color=color,
                        marker=marker,
                        linestyle="-" if trained else ":",
                        markerfacecolor=color if trained else "white",
                        linewidth=2.4 if method == OURS else 1.2,
                        zorder=3 if method == OURS else 2,
                        label=f"{method}, {'3 epochs' if trained else 'no training'}",
                    )
        height = 100 * full["accuracy"]
        axis.plot(full["bytes"] / 1000, height, "k*", markersize=12, label=FULL)
        axis.axhline(height, color="0.7", linewidth=1, zorder=1)
        axis.set_xscale("log")
        axis.set_xticks([20, 50, 100, 200, 500, 1000, 2000])
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.minorticks_off()
        axis.grid(color="0.9")
        axis.set_xlabel(
            "bytes of the int8 .tflite file, in thousands (of pruning\nand clustering: gzipped)"
        )
        axis.set_ylabel("accuracy on 10,000 test images, %")
    axes[1].set_ylim(height - 6, height + 1)
    axes[1].set_title("near the original's accuracy")
    axes[0].set_title("Fashion-MNIST, 784-1024-1024-10")
    axes[0].legend(loc="lower right", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
