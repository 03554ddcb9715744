"""`TTDense` against other TT implementations with the same modes, ranks and cores.

A dense layer is timed too, and so are two dense layers with as many parameters in total (a
truncated SVD). `python -m benchmarks.peers` has two balanced modes a side, `--cores 3` three.
"""

import gc
import os
from collections.abc import Callable
from statistics import geometric_mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment
from benchmarks.baselines import t3f_functions, tensorly_torch
from benchmarks.grid import BATCHES, DIMENSIONS, KINDS, RANKS, Grid, split
from benchmarks.steps import Steps, keras_steps
from benchmarks.tables import Results
from benchmarks.timing import interleaved
from dart_keras.layers import TTDense
from dart_keras.tensor_train import balanced_modes

OURS = "TTDense"
PEERS = ("t3f", *(f"tltorch {name}" for name in tensorly_torch.IMPLEMENTATIONS))
OTHERS = ("Dense", "SVD")
# float32 sums of thousands of terms, added in another order.
TOLERANCE = 1e-4


def built_layer(inputs: int, units: int, rank: int, cores: int) -> TTDense:
    """Return a built `TTDense` with balanced modes; two a side are its default."""
    modes = balanced_modes(inputs, cores), balanced_modes(units, cores)
    layer = TTDense(units, rank, *modes, bias_initializer="normal")
    layer.build((None, inputs))
    return layer


def low_rank_equivalent(layer: TTDense, inputs: int) -> keras.Model:
    """Return two dense layers with as many parameters as the TT layer."""
    parameters = sum(int(np.prod(core.shape)) for core in layer.cores)
    inner = max(1, round(parameters / (inputs + layer.units)))
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(inner, use_bias=False),
            keras.layers.Dense(layer.units),
        ]
    )


def baseline_steps(layer: TTDense, batch: int) -> dict[str, Callable[[], Steps]]:
    """Return, for each implementation, a function that makes its steps on random rows."""
    rng = np.random.default_rng(0)
    inputs = int(np.prod(layer.input_modes))
    x = rng.normal(size=(batch, inputs)).astype("float32")
    output_gradient = rng.normal(size=(batch, layer.units)).astype("float32")
    cores = [keras.ops.convert_to_numpy(core) for core in layer.cores]
    bias = keras.ops.convert_to_numpy(layer.bias)

    def dense() -> Steps:
        dense_layer = keras.layers.Dense(layer.units)
        dense_layer.build((None, inputs))
        return keras_steps(dense_layer, x, output_gradient)

    def torch(implementation: str) -> Steps:
        module = tensorly_torch.dense(cores, bias, implementation)
        return tensorly_torch.steps(module, x, output_gradient)

    return {
        OURS: lambda: keras_steps(layer, x, output_gradient),
        "t3f": lambda: t3f_functions.dense(cores, bias, x, output_gradient),
        "tltorch factorized": lambda: torch("factorized"),
        "tltorch reconstructed": lambda: torch("reconstructed"),
        "Dense": dense,
        "SVD": lambda: keras_steps(low_rank_equivalent(layer, inputs), x, output_gradient),
    }


def check_same(steps: dict[str, Steps]) -> float:
    """Return the largest error of a peer's output, relative to our largest output.

    Raises:
        AssertionError: If a peer computes another function.
    """
    ours = np.asarray(steps[OURS].forward())
    scale = np.max(np.abs(ours))
    worst = 0.0
    for peer in PEERS:
        distance = np.max(np.abs(np.asarray(steps[peer].forward()) - ours)) / scale
        assert distance < TOLERANCE, f"{peer} is {distance:.2g} off"
        worst = max(worst, float(distance))
    return worst


def measure(layer: TTDense, batch: int, **options: Any) -> dict[str, dict[str, Any]]:
    """Return the timings of all implementations in one configuration, by kind and name."""
    steps = {name: make() for name, make in baseline_steps(layer, batch).items()}
    check_same(steps)
    return {
        kind: interleaved({name: getattr(s, kind) for name, s in steps.items()}, **options)
        for kind in KINDS
    }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how many times as long the fastest peer takes as `TTDense`."""
    result = {}
    for kind in KINDS:
        own = [cell for cell in cells if cell["kind"] == kind]
        if own:
            lost = [cell for cell in own if cell["ratio"] < 1]
            names = ("dimensions", "rank", "batch", "fastest peer", "ratio")
            result[kind] = {
                "cells": len(own),
                "geometric mean of fastest peer / ours": geometric_mean(c["ratio"] for c in own),
                "least": min(cell["ratio"] for cell in own),
                **{
                    f"geometric mean of {peer} / ours": geometric_mean(
                        c["microseconds"][peer] / c["microseconds"][OURS] for c in own
                    )
                    for peer in (*PEERS, *OTHERS)
                },
                "lost": [{name: cell[name] for name in names} for cell in lost],
            }
    return result


def main() -> None:
    axes = {"dimensions": DIMENSIONS, "ranks": RANKS, "batches": BATCHES}
    grid = Grid("peers", __doc__, axes, cores=True)
    environment.prepare()
    results = Results(
        f"Microseconds of TTDense and its peers, {grid.cores} modes a side",
        ["dimensions", "rank", "batch", "kind", OURS, *PEERS, *OTHERS, "ratio"],
        grid.path,
    )
    for dimensions, rank, batch in grid:
        layer = built_layer(*split(dimensions), rank, grid.cores)
        for kind, timings in measure(layer, batch).items():
            times = {name: timing.microseconds for name, timing in timings.items()}
            fastest = min(PEERS, key=lambda name: times[name])
            cell = {
                "dimensions": dimensions,
                "rank": rank,
                "batch": batch,
                "kind": kind,
                "modes": [layer.input_modes, layer.output_modes],
                "ranks": layer.ranks,
                "microseconds": times,
                "spread": {name: timing.spread for name, timing in timings.items()},
                "fastest peer": fastest,
                "ratio": times[fastest] / times[OURS],
            }
            results.add(cell, shown=times)
        del layer
        gc.collect()
    results.finish(summary(results.cells))


if __name__ == "__main__":
    main()
