"""Size of int8 files of TT layers by use of the bytes, and whether the files are small.

A file is small if it takes at most its biases, 1.25 times its other weights, and 2 KiB. The grid
has single TT layers of at least ten thousand weights. Networks and embeddings follow.
Run `python -m benchmarks.file_size`.
"""

import gc
import itertools
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment
from benchmarks.grid import Grid, split
from benchmarks.tables import Results
from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.size_breakdown import FileParts
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.tensor_train import balanced_modes

AXES = {
    "targets": ("raspberry-pi", "microcontroller"),
    "dimensions": ("64x4096", "784x1024", "1024x1024", "4096x1024", "4096x4096"),
    "modes": ("low rank", "two", "three"),
    "ranks": (2, 4, 8, 16, 64),
    "biases": ("zero", "normal"),
}
FEWEST_WEIGHTS = 10_000
MOST_WEIGHTS = 300_000
# Files for a microcontroller take longer to convert and differ only in scales and names.
MICROCONTROLLER = {"rank": (4, 16), "biases": ("normal",)}
# Rows to calibrate with and to measure errors on.
ROWS = 32
PARTS = ("biases", "scales", "graph", "padding")
NORMAL = keras.initializers.RandomNormal(stddev=0.1, seed=0)


def layer(inputs: int, units: int, modes: str, rank: int, **options: Any) -> TTDense:
    """Return a `TTDense` with one of the grid's kinds of modes."""
    sides = (inputs, 1), (1, units)
    if modes != "low rank":
        cores = ("two", "three").index(modes) + 2
        sides = balanced_modes(inputs, cores), balanced_modes(units, cores)
    return TTDense(units, rank, *sides, **options)


def stack(sizes: list[int], modes: str, rank: int) -> keras.Model:
    """Return layers of these sizes; those with ten inputs or units or fewer are dense."""
    model = keras.Sequential([keras.Input(sizes[:1])])
    for inputs, units in itertools.pairwise(sizes):
        if min(inputs, units) <= 10:
            model.add(keras.layers.Dense(units))
        else:
            options = {"activation": "relu", "bias_initializer": NORMAL}
            model.add(layer(inputs, units, modes, rank, **options))
    return model


def embedding(words: int, width: int, rank: int) -> keras.Model:
    """Return a model that looks up six words at a time."""
    return keras.Sequential(
        [keras.Input((6,), dtype="int32"), TTEmbedding(words, width, ranks=rank)]
    )


def single_layers(grid: Grid) -> Iterator[tuple[str, str, keras.Model]]:
    """Yield target, name and model of every cell with enough weights."""
    for target, dimensions, modes, rank, biases in grid:
        chosen = rank in MICROCONTROLLER["rank"] and biases in MICROCONTROLLER["biases"]
        if target == "microcontroller" and not chosen:
            continue
        keras.utils.set_random_seed(0)
        inputs, units = split(dimensions)
        start = NORMAL if biases == "normal" else "zeros"
        only = layer(inputs, units, modes, rank, bias_initializer=start)
        model = keras.Sequential([keras.Input((inputs,)), only])
        weights = sum(int(np.prod(core.shape)) for core in only.cores)
        # A rank above what the modes allow would give the same layer twice.
        if FEWEST_WEIGHTS <= weights <= MOST_WEIGHTS and rank in only.ranks:
            yield target, f"{dimensions}, {modes}, rank {rank}, {biases} bias", model


def networks() -> Iterator[tuple[str, keras.Model]]:
    """Yield names and models of the networks and embeddings."""
    for modes in ("two", "low rank"):
        yield f"784-1024-1024-10, {modes}, rank 8", stack([784, 1024, 1024, 10], modes, 8)
    sizes = [640, 128, 128, 8, 128, 128, 640]
    yield "640-128-128-8-128-128-640, low rank 16", stack(sizes, "low rank", 16)
    for words, width, rank in ((10_000, 64, 8), (30_522, 128, 16)):
        yield f"embedding {words}x{width}, rank {rank}", embedding(words, width, rank)


def measure(model: keras.Model, target: str) -> dict[str, Any]:
    """Return the size breakdown of a model's file, its share of the size limit, and its error."""
    rng = np.random.default_rng(0)
    if model.inputs[0].dtype == "int32":
        rows = rng.integers(0, model.layers[0].input_dim, size=(ROWS, *model.input_shape[1:]))
    else:
        rows = rng.normal(size=(ROWS, *model.input_shape[1:]))
    artifact = convert(model, target, quantization="int8", calibration_data=rows)
    parts = FileParts(**artifact.report["file_parts"])
    results = artifact.report["runtimes"]
    [output] = results[list(results)[-1]]["outputs"]
    return {
        "weights": sum(parts.weights.values()),
        **{name: getattr(parts, name) for name in PARTS},
        "file": artifact.size,
        "of limit": artifact.size / parts.limit,
        "channels": artifact.weight_scales,
        "decibels": output["sqnr_db"],
    }


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return for each target how many files are small, and which are not."""
    return {
        target: {
            "files": len(own),
            "small": sum(cell["of limit"] <= 1 for cell in own),
            "most of the limit": max(cell["of limit"] for cell in own),
            "most bytes of graph and padding": max(c["graph"] + c["padding"] for c in own),
            "not small": {c["model"]: c["of limit"] for c in own if c["of limit"] > 1},
        }
        for target in AXES["targets"]
        if (own := [cell for cell in cells if cell["target"] == target])
    }


def main() -> None:
    grid = Grid("file_size", __doc__, AXES)
    environment.prepare()
    results = Results(
        "Bytes of int8 files of TT layers, by use",
        ["target", "weights", *PARTS, "file", "of limit", "channels", "decibels", "model"],
        grid.path,
    )

    def add(target: str, name: str, model: keras.Model) -> None:
        results.add({"target": target, "model": name, **measure(model, target)})
        keras.backend.clear_session()
        gc.collect()

    for target, name, model in single_layers(grid):
        add(target, name, model)
    for target in grid.axes["targets"]:
        keras.utils.set_random_seed(0)
        for name, model in networks():
            add(target, name, model)
    results.finish(summary(results.cells))


if __name__ == "__main__":
    main()
