"""`TTDense` with the fastest modes of `suggest_modes` against `keras.layers.Dense`.

The layer may have as many parameters as one of the cell's rank with two balanced modes a side, and
at most an eighth of the dense kernel's. Run `python -m benchmarks.dense`.
"""

import gc
import os
from statistics import geometric_mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment
from benchmarks.budget import LARGE, parameter_budget
from benchmarks.grid import BATCHES, KINDS, RANKS, Grid, split
from benchmarks.steps import keras_steps
from benchmarks.tables import Results
from benchmarks.timing import Timing, interleaved
from dart_keras.layers import TTDense
from dart_keras.tensor_train import suggest_modes

# The speed requirement is for batches of at least this size.
LARGE_BATCH = 32


def planned_layer(inputs: int, units: int, rank: int, batch: int) -> TTDense:
    """Return a built `TTDense` with the fastest modes within the budget."""
    found = suggest_modes(
        inputs,
        units,
        objective="time",
        max_parameters=parameter_budget(inputs, units, rank),
        rows=batch,
    )
    layer = TTDense(units, found.ranks, found.input_modes, found.output_modes)
    layer.build((None, inputs))
    return layer


def measure(layer: TTDense, inputs: int, batch: int) -> dict[str, dict[str, Timing]]:
    """Return the timings of the layer and of its dense equivalent, by kind and name."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, inputs)).astype("float32")
    output_gradient = rng.normal(size=(batch, layer.units)).astype("float32")
    dense_layer = keras.layers.Dense(layer.units)
    dense_layer.build((None, inputs))
    steps = {
        "TTDense": keras_steps(layer, x, output_gradient),
        "Dense": keras_steps(dense_layer, x, output_gradient),
    }
    return {
        kind: interleaved({name: getattr(s, kind) for name, s in steps.items()}) for kind in KINDS
    }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how many times as long the dense layer takes as the TT layer."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        own = [cell for cell in cells if cell["kind"] == kind]
        large_batches = [cell for cell in own if cell["batch"] >= LARGE_BATCH]
        if large_batches:
            names = ("dimensions", "rank", "batch", "ratio")
            result[kind] = {
                f"geometric mean of Dense / TTDense, batch >= {LARGE_BATCH}": geometric_mean(
                    cell["ratio"] for cell in large_batches
                ),
                "least of these": min(cell["ratio"] for cell in large_batches),
                "least share of the budget in use": min(
                    cell["of budget"] for cell in large_batches
                ),
                "lost, any batch": [
                    {name: cell[name] for name in names} for cell in own if cell["ratio"] < 1
                ],
            }
    return result


def main() -> None:
    axes = {"dimensions": LARGE, "ranks": RANKS, "batches": BATCHES}
    grid = Grid("dense", __doc__, axes)
    environment.prepare()
    results = Results(
        "Microseconds of TTDense with the fastest modes and of Dense",
        [
            *("dimensions", "rank", "batch", "kind", "parameters", "of budget", "of dense"),
            *("TTDense", "Dense", "ratio", "modes and ranks"),
        ],
        grid.path,
    )
    for dimensions, rank, batch in grid:
        inputs, units = split(dimensions)
        layer = planned_layer(inputs, units, rank, batch)
        parameters = sum(int(np.prod(core.shape)) for core in layer.cores)
        tt_matrix = [layer.input_modes, layer.output_modes, layer.ranks]
        for kind, timings in measure(layer, inputs, batch).items():
            times = {name: timing.microseconds for name, timing in timings.items()}
            cell = {
                "dimensions": dimensions,
                "rank": rank,
                "batch": batch,
                "kind": kind,
                "parameters": parameters,
                "of budget": parameters / parameter_budget(inputs, units, rank),
                "of dense": parameters / (inputs * units),
                "TT matrix": tt_matrix,
                "microseconds": times,
                "spread": {name: timing.spread for name, timing in timings.items()},
                "ratio": times["Dense"] / times["TTDense"],
            }
            results.add(cell, shown={**times, "modes and ranks": "  ".join(map(str, tt_matrix))})
        del layer
        gc.collect()
    results.finish(summary(results.cells))


if __name__ == "__main__":
    main()
