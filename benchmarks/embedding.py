"""Embeddings of 30,522 words of width 768: `TTEmbedding` against other ways to the same rows.

They are rebuilding the table from the same cores, t3f, TensorLy-Torch's embedding and its table
rebuilt; beside them a dense embedding. In the end the memory of a step: see
`benchmarks.step_memory`. `python -m benchmarks.embedding`
"""

import gc
import os
from collections.abc import Callable
from statistics import geometric_mean
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import machine, step_memory
from benchmarks.competitors import rebuilding, t3f_functions, tensorly_torch
from benchmarks.grid import KINDS, RANKS, Grid
from benchmarks.steps import Steps, keras_steps
from benchmarks.tables import Results
from benchmarks.timing import Timing, interleaved
from dart_keras.layers import TTEmbedding

VOCABULARY, WIDTH = 30_522, 768
COUNTS = (32, 512, 4096)
DISTRIBUTIONS = ("uniform", "zipf")
OURS = "TTEmbedding"
# The layer's own choice, the fewest parameters, and what is fast.
MODES = {"smallest": (None, None), "low rank": ((VOCABULARY, 1), (1, WIDTH))}
# What makes the same rows from the same cores.
PEERS = ("rebuild", "t3f", *(f"tltorch {name}" for name in tensorly_torch.IMPLEMENTATIONS))


def random_ids(count: int, distribution: str, vocabulary: int = VOCABULARY) -> np.ndarray:
    """Ids as the words of a text have them (the k-th as often as 1 / k), or all alike."""
    rng = np.random.default_rng(0)
    shares = np.ones(vocabulary) if distribution == "uniform" else 1 / np.arange(1, vocabulary + 1)
    return rng.choice(vocabulary, count, p=shares / shares.sum()).astype("int32")


def competitors(layer: TTEmbedding, ids: np.ndarray) -> dict[str, Callable[[], Steps]]:
    """How to make the steps of each competitor."""
    width = layer.output_dim
    flow = np.random.default_rng(1).normal(size=(len(ids), width)).astype("float32")
    cores = [keras.ops.convert_to_numpy(core) for core in layer.cores]

    def dense() -> Steps:
        twin = keras.layers.Embedding(layer.input_dim, width)
        twin.build()
        return keras_steps(twin, ids, flow)

    def torch(implementation: str) -> Steps:
        module = tensorly_torch.embedding(cores, width, implementation)
        return tensorly_torch.steps(module, ids.astype("int64"), flow)

    return {
        OURS: lambda: keras_steps(layer, ids, flow),
        "rebuild": lambda: rebuilding.embedding(cores, width, ids, flow),
        "t3f": lambda: t3f_functions.embedding(cores, width, ids, flow),
        "tltorch factorized": lambda: torch("factorized"),
        "tltorch reconstructed": lambda: torch("reconstructed"),
        "Embedding": dense,
    }


def measure(layer: TTEmbedding, ids: np.ndarray, **options: Any) -> dict[str, dict[str, Timing]]:
    """The timings of all competitors, by kind and name."""
    steps = {name: make() for name, make in competitors(layer, ids).items()}
    check_same(steps)
    return {
        kind: interleaved({name: getattr(s, kind) for name, s in steps.items()}, **options)
        for kind in KINDS
    }


def check_same(steps: dict[str, Steps]) -> None:
    """Raise an AssertionError if a peer gives other rows."""
    ours = np.asarray(steps[OURS].forward())
    scale = np.max(np.abs(ours))
    for peer in PEERS:
        distance = np.max(np.abs(np.asarray(steps[peer].forward()) - ours)) / scale
        assert distance < 1e-4, f"{peer} is {distance:.2g} off"


def summary(cells: list[dict[str, Any]], memory: dict[str, Any]) -> dict[str, Any]:
    """How many times as long as ours the others take."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        own = [cell for cell in cells if cell["kind"] == kind]
        for other in (*PEERS, "Embedding"):
            ratios = [cell["microseconds"][other] / cell["microseconds"][OURS] for cell in own]
            result[f"{kind}, {other} / ours"] = {
                "geometric mean": geometric_mean(ratios),
                "least": min(ratios),
            }
    judged = [
        cell
        for cell in cells
        if (cell["rank"], cell["ids"], cell["kind"]) == (16, COUNTS[-1], "training")
    ]
    result["training, 4096 ids, rank 16, rebuild / ours"] = {
        f"{cell['modes']}, {cell['distribution']}": cell["microseconds"]["rebuild"]
        / cell["microseconds"][OURS]
        for cell in judged
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
    machine.prepare()
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
                "train": [layer.input_modes, layer.output_modes, layer.ranks],
                "microseconds": times,
                "spread": {name: timing.spread for name, timing in timings.items()},
                "ratio": min(times[name] for name in PEERS) / times[OURS],
            }
            results.add(cell, shown=times)
        gc.collect()
    results.finish(summary(results.cells, step_memory.of_all()))


if __name__ == "__main__":
    main()
