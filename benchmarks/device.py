"""`TTDense` against its dense equivalent on the device runtimes, one row at a time.

The modes are the fastest ones of `suggest_modes` for the device, with as many parameters as in
`benchmarks.dense`. Two balanced modes a side are measured too. Run `python -m benchmarks.device`.
"""

import gc
import os
from collections.abc import Callable
from statistics import geometric_mean, median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from benchmarks import environment
from benchmarks.budget import LARGE, parameter_budget
from benchmarks.grid import DIMENSIONS, RANKS, Grid, split
from benchmarks.tables import Results
from benchmarks.timing import interleaved
from dart_keras.deployment import Artifact, convert
from dart_keras.deployment.flatbuffer.tensor_info import TensorInfo
from dart_keras.layers import TTDense
from dart_keras.tensor_train import (
    balanced_modes,
    cheapest_plan,
    complete_ranks,
    count_parameters,
    suggest_modes,
)

# Runtime: target and quantization.
RUNTIMES = {
    "LiteRT float32": ("raspberry-pi", "float32"),
    "LiteRT int8": ("raspberry-pi", "int8"),
    "TFLM int8": ("microcontroller", "int8"),
}
CALIBRATION_ROWS = 64
# Arena bytes that a TT layer may take beyond its dense equivalent.
ARENA_ALLOWANCE = 4096


def artifact(layer: keras.Layer, inputs: int, runtime: str) -> Artifact:
    """Convert a model of one layer for a runtime."""
    target, quantization = RUNTIMES[runtime]
    rows = np.random.default_rng(0).normal(size=(CALIBRATION_ROWS, inputs)).astype("float32")
    model = keras.Sequential([keras.Input((inputs,)), layer])
    return convert(model, target, quantization=quantization, calibration_data=rows)


def planned_layer(inputs: int, units: int, rank: int, runtime: str) -> TTDense:
    """Return a `TTDense` with the fastest modes on the device within the cell's budget."""
    found = suggest_modes(
        inputs,
        units,
        objective="time",
        target=RUNTIMES[runtime][0],
        max_parameters=parameter_budget(inputs, units, rank),
        rows=1,
    )
    return TTDense(units, found.ranks, found.input_modes, found.output_modes)


def balanced_layer(inputs: int, units: int, rank: int) -> TTDense:
    """Return a `TTDense` with two balanced modes a side."""
    return TTDense(units, rank, balanced_modes(inputs, 2), balanced_modes(units, 2))


def inference(
    content: bytes, info: TensorInfo, runtime: str, arena_size: int | None
) -> Callable[[], object]:
    """Return a call that runs one inference of a file whose one input is already set."""
    row = info.quantize(np.random.default_rng(1).normal(size=info.shape))
    if runtime.startswith("TFLM"):
        from tflite_micro import runtime as tflm

        interpreter = tflm.Interpreter.from_bytes(content, arena_size=arena_size)
        interpreter.set_input(row, 0)
        return interpreter.invoke
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], row)
    return interpreter.invoke


def measure(files: dict[str, Artifact], runtime: str) -> dict[str, Any]:
    """Return times, arenas and file sizes of files on one runtime, by name."""
    timings = interleaved(
        {
            name: inference(file.content, file.inputs[0], runtime, file.arena_size)
            for name, file in files.items()
        }
    )
    return {
        "microseconds": {name: timing.microseconds for name, timing in timings.items()},
        "spread": {name: timing.spread for name, timing in timings.items()},
        "arena": {name: file.arena_size for name, file in files.items()},
        "file": {name: file.size for name, file in files.items()},
        "operators": {name: file.report["operators"] for name, file in files.items()},
    }


def estimates(cell: dict[str, Any]) -> list[float]:
    """Return by how much the estimates of time differ from what a cell's TT layers took."""
    modes = [balanced_modes(size, 2) for size in split(cell["dimensions"])]
    shapes = {
        "TT for time": cell["TT matrix"],
        "TT balanced": [*modes, complete_ranks(cell["rank"], *modes)],
    }
    target, _ = RUNTIMES[cell["runtime"]]
    ratios = []
    for name, shape in shapes.items():
        most = count_parameters(*shape)
        plan = cheapest_plan(*shape, 1, target=target, max_parameters=most)
        ratios.append(plan.microseconds / cell["microseconds"][name])
    return ratios


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how the TT layers compare with dense ones, and the estimates with their times."""
    result: dict[str, Any] = {}
    for runtime in RUNTIMES:
        own = [cell for cell in cells if cell["runtime"] == runtime]
        large = [cell for cell in own if cell["dimensions"] in LARGE]
        if large:
            names = ("dimensions", "rank", "ratio")
            ratios = [ratio for cell in own for ratio in estimates(cell)]
            result[runtime] = {
                "geometric mean of dense / TT, from 1024x1024": geometric_mean(
                    cell["ratio"] for cell in large
                ),
                "least of these": min(cell["ratio"] for cell in large),
                "estimated / measured": [min(ratios), median(ratios), max(ratios)],
                "lost": [{name: cell[name] for name in names} for cell in own if cell["ratio"] < 1],
                "arena beyond dense plus 4 KiB": [
                    {**{name: cell[name] for name in names[:2]}, "arena": cell["arena"]}
                    for cell in own
                    if (arenas := cell["arena"])["dense"] is not None
                    and arenas["TT for time"] > arenas["dense"] + ARENA_ALLOWANCE
                ],
            }
    return result


def main() -> None:
    axes = {"dimensions": DIMENSIONS, "runtimes": tuple(RUNTIMES), "ranks": RANKS}
    grid = Grid("device", __doc__, axes)
    environment.prepare()
    names = ("TT for time", "TT balanced", "dense")
    results = Results(
        "One row on the devices' runtimes, one thread: microseconds, and bytes of the arena",
        ["dimensions", "runtime", "rank", *names, "ratio", "arena", "arena dense", "file bytes"],
        grid.path,
    )
    dense: tuple[Any, Artifact | None] = (None, None)
    for dimensions, runtime, rank in grid:
        inputs, units = split(dimensions)
        if dense[0] != (dimensions, runtime):
            dense_artifact = artifact(keras.layers.Dense(units), inputs, runtime)
            dense = (dimensions, runtime), dense_artifact
        layers = (
            planned_layer(inputs, units, rank, runtime),
            balanced_layer(inputs, units, rank),
        )
        tt_artifacts = [artifact(layer, inputs, runtime) for layer in layers]
        figures = measure(dict(zip(names, (*tt_artifacts, dense_artifact), strict=True)), runtime)
        times, planned = figures["microseconds"], layers[0]
        cell = {
            "dimensions": dimensions,
            "runtime": runtime,
            "rank": rank,
            "TT matrix": [planned.input_modes, planned.output_modes, planned.ranks],
            **figures,
            "ratio": times["dense"] / times["TT for time"],
        }
        shown = {
            **times,
            "arena": figures["arena"]["TT for time"],
            "arena dense": figures["arena"]["dense"],
            "file bytes": figures["file"]["TT for time"],
        }
        results.add(cell, shown)
        gc.collect()
    results.finish(summary(results.cells))


if __name__ == "__main__":
    main()
