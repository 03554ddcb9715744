"""`TTEmbedding` against other ways to compute the same rows: 30,522 words of width 768.

The others reconstruct the table from the same cores: plain TensorFlow, t3f, TensorLy-Torch. A
TensorLy-Torch factorized embedding and a dense embedding are timed too. Last comes the memory of a
training step, see `benchmarks.step_memory`. Run `python -m benchmarks.embedding`.
"""

import gc
import os
from collections.abc import Callable
from statistics import geometric_mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment, step_memory
from benchmarks.baselines import reconstruction, t3f_functions, tensorly_torch
from benchmarks.grid import KINDS, RANKS, Grid
from benchmarks.steps import Steps, keras_steps
from benchmarks.tables import Results
from benchmarks.timing import Timing, interleaved
from dart_keras.layers import TTEmbedding

VOCABULARY, WIDTH = 30_522, 768
COUNTS = (32, 512, 4096)
DISTRIBUTIONS = ("uniform", "zipf")
OURS = "TTEmbedding"
# The layer's default, which has the fewest parameters, and the fast choice.
MODES = {"smallest": (None, None), "low rank": ((VOCABULARY, 1), (1, WIDTH))}
# Implementations that compute the same rows from the same cores.
PEERS = ("rebuild", "t3f", *(f"tltorch {name}" for name in tensorly_torch.IMPLEMENTATIONS))


def random_ids(count: int, distribution: str, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Draw word ids, either uniformly or by Zipf's law (the k-th as often as 1 / k)."""
    rng = np.random.default_rng(0)
    shares = np.ones(vocabulary) if distribution == "uniform" else 1 / np.arange(1, vocabulary + 1)
    return rng.choice(vocabulary, count, p=shares / shares.sum()).astype("int32")


def baseline_steps(layer: TTEmbedding, ids: np.ndarray) -> dict[str, Callable[[], Steps]]:
    """Return a function for each implementation that makes its steps."""
    width = layer.output_dim
    output_gradient = np.random.default_rng(1).normal(size=(len(ids), width)).astype("float32")
    cores = [keras.ops.convert_to_numpy(core) for core in layer.cores]

    def dense() -> Steps:
        dense_layer = keras.layers.Embedding(layer.input_dim, width)
        dense_layer.build()
        return keras_steps(dense_layer, ids, output_gradient)

    def torch(implementation: str) -> Steps:
        module = tensorly_torch.embedding(cores, width, implementation)
        return tensorly_torch.steps(module, ids.astype("int64"), output_gradient)

    return {
        OURS: lambda: keras_steps(layer, ids, output_gradient),
        "rebuild": lambda: reconstruction.embedding(cores, width, ids, output_gradient),
        "t3f": lambda: t3f_functions.embedding(cores, width, ids, output_gradient),
        "tltorch factorized": lambda: torch("factorized"),
        "tltorch reconstructed": lambda: torch("reconstructed"),
        "Embedding": dense,
    }


def measure(layer: TTEmbedding, ids: np.ndarray, **options: Any) -> dict[str, dict[str, Timing]]:
    """Return the timings of all implementations, by kind and name."""
    steps = {name: make() for name, make in baseline_steps(layer, ids).items()}
    check_same(steps)
    return {
        kind: interleaved({name: getattr(s, kind) for name, s in steps.items()}, **options)
        for kind in KINDS
    }


def check_same(steps: dict[str, Steps]) -> None:
    """Raise an AssertionError if a peer computes other rows."""
    ours = np.asarray(steps[OURS].forward())
    scale = np.max(np.abs(ours))
    for peer in PEERS:
        distance = np.max(np.abs(np.asarray(steps[peer].forward()) - ours)) / scale
        assert distance < 1e-4, f"{peer} is {distance:.2g} off"


def summary(cells: list[dict[str, Any]], memory: dict[str, Any]) -> dict[str, Any]:
    """Return how many times as long the others take as `TTEmbedding`."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        own = [cell for cell in cells if cell["kind"] == kind]
        for other in (*PEERS, "Embedding"):
            ratios = [cell["microseconds"][other] / cell["microseconds"][OURS] for cell in own]
            result[f"{kind}, {other} / ours"] = {
                "geometric mean": geometric_mean(ratios),
                "least": min(ratios),
            }
    selected = [
        cell
        for cell in cells
        if (cell["rank"], cell["ids"], cell["kind"]) == (16, COUNTS[-1], "training")
    ]
    result["training, 4096 ids, rank 16, rebuild / ours"] = {
        f"{cell['modes']}, {cell['distribution']}": cell["microseconds"]["rebuild"]
        / cell["microseconds"][OURS]
        for cell in selected
    }
    return {**result, "memory of a training step": memory}


def main() -> None:
    axes = {
        "modes": tuple(MODES),
        "ranks": RANKS,
        "counts": COUNTS,
        "distributions": DISTRIBUTIONS,
    }
    grid = Grid("embedding", __doc__, axes)
    environment.prepare()
    results = Results(
        f"Microseconds of an embedding of {VOCABULARY} x {WIDTH}",
        ["modes", "rank", "ids", "distribution", "kind", OURS, *PEERS, "Embedding", "ratio"],
        grid.path,
    )
    for modes, rank, count, distribution in grid:
        layer = TTEmbedding(VOCABULARY, WIDTH, rank, *MODES[modes])
        layer.build()
        ids = random_ids(count, distribution)
        for kind, timings in measure(layer, ids).items():
            times = {name: timing.microseconds for name, timing in timings.items()}
            cell = {
                "modes": modes,
                "rank": rank,
                "ids": count,
                "different ids": len(np.unique(ids)),
                "distribution": distribution,
                "kind": kind,
                "TT matrix": [layer.input_modes, layer.output_modes, layer.ranks],
                "microseconds": times,
                "spread": {name: timing.spread for name, timing in timings.items()},
                "ratio": min(times[name] for name in PEERS) / times[OURS],
            }
            results.add(cell, shown=times)
        gc.collect()
    results.finish(summary(results.cells, step_memory.measure_methods()))


if __name__ == "__main__":
    main()
