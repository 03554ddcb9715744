"""Time of `TTDense` against rank, dimension and batch, with the planner's prediction.

Writes benchmarks/results/growth.json and docs/studies/growth.png. Run
`python -m benchmarks.growth`.
"""

import gc
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment
from benchmarks.grid import KINDS, Grid
from benchmarks.steps import keras_steps
from benchmarks.tables import PICTURES, Results
from benchmarks.timing import interleaved
from dart_keras.layers import TTDense
from dart_keras.tensor_train import balanced_modes
from dart_keras.tensor_train.contraction import cheapest_plan

# Values held fixed while another one grows. Inputs and units both have `dimension`.
FIXED = {"rank": 16, "dimension": 1024, "batch": 128}
GROWING = {
    "rank": (1, 2, 4, 8, 16, 32, 64, 128),
    "dimension": (64, 256, 1024, 4096, 16384),
    "batch": (1, 4, 16, 64, 256, 1024, 4096),
}
# A larger dense layer would take at least 1 GiB.
LARGEST_DENSE = 4096


def measure(rank: int, dimension: int, batch: int, **options: Any) -> list[dict[str, Any]]:
    """Return measured and predicted times of one point, forward and training."""
    modes = balanced_modes(dimension, 2)
    layers: dict[str, keras.Layer] = {"TTDense": TTDense(dimension, rank, modes, modes)}
    if dimension <= LARGEST_DENSE:
        layers["Dense"] = keras.layers.Dense(dimension)
    rng = np.random.default_rng(0)
    x, output_gradient = (rng.normal(size=(batch, dimension)).astype("float32") for _ in range(2))
    for layer in layers.values():
        layer.build((None, dimension))
    steps = {name: keras_steps(layer, x, output_gradient) for name, layer in layers.items()}
    ranks = layers["TTDense"].ranks
    points = []
    for kind in KINDS:
        plan = cheapest_plan(modes, modes, ranks, batch, training=kind == "training")
        calls = {name: getattr(step, kind) for name, step in steps.items()}
        timings = interleaved(calls, **options)
        points.append(
            {
                "kind": kind,
                "plan": plan.name,
                "multiply-adds": plan.multiply_adds,
                "predicted": plan.microseconds,
                **{name: timing.microseconds for name, timing in timings.items()},
            }
        )
    return points


def draw(cells: list[dict[str, Any]], path: Path) -> None:
    """Plot measured points and predicted lines, a column for each axis and a row for each kind."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(KINDS), len(GROWING), figsize=(12, 7), sharex="col", sharey="row", layout="constrained"
    )
    for row, kind in zip(axes, KINDS, strict=True):
        for axis, growing in zip(row, GROWING, strict=True):
            own = [c for c in cells if (c["growing"], c["kind"]) == (growing, kind)]
            _draw_one(axis, growing, own)
        row[0].set_ylabel(f"microseconds, {'forward' if kind == 'forward' else 'training step'}")
    for axis, growing in zip(axes[-1], GROWING, strict=True):
        axis.set_xlabel(growing)
    for axis, growing in zip(axes[0], GROWING, strict=True):
        fixed = ", ".join(f"{name} {FIXED[name]}" for name in FIXED if name != growing)
        axis.set_title(f"growing {growing}; {fixed}", fontsize=10)
    axes[0][0].legend(loc="upper left", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_one(axis: Any, growing: str, cells: list[dict[str, Any]]) -> None:
    def line(name: str, style: str, **options: Any) -> None:
        points = [(cell[growing], cell[name]) for cell in cells if name in cell]
        if points:
            axis.plot(*zip(*points, strict=True), style, **options)

    line("TTDense", "o", color="C0", label="TTDense, measured")
    line("predicted", "-", color="C0", label="TTDense, the planner's prediction")
    line("Dense", "x:", color="C7", label="Dense, measured")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.grid(which="major", color="0.9")
    ticks = GROWING[growing]
    axis.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
    axis.minorticks_off()


def main() -> None:
    grid = Grid("growth", __doc__, {"growing": tuple(GROWING)})
    environment.prepare()
    picture = None if grid.path is None else PICTURES / f"{grid.path.stem}.png"
    results = Results(
        "Microseconds of TTDense as one of rank, dimension and batch grows",
        ["growing", *FIXED, "kind", "plan", "predicted", "TTDense", "Dense"],
        grid.path,
        picture,
    )
    for (growing,) in grid:
        for value in GROWING[growing]:
            point = FIXED | {growing: value}
            for measured in measure(**point):
                results.add({"growing": growing, **point, **measured})
            gc.collect()
    results.finish({"prediction / measured": accuracy(results.cells)})
    if picture is not None:
        draw(results.cells, picture)


def accuracy(cells: list[dict[str, Any]]) -> dict[str, float]:
    """Return the quartiles of predicted / measured time."""
    shares = [cell["predicted"] / cell["TTDense"] for cell in cells]
    names = ("lowest", "first quartile", "median", "third quartile", "highest")
    return dict(zip(names, np.quantile(shares, (0, 0.25, 0.5, 0.75, 1)).tolist(), strict=True))


if __name__ == "__main__":
    main()
