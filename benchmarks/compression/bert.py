"""KerasHub's BERT encoder with random weights: the time and the memory that compressing it takes.

`python -m benchmarks.compression.bert [--sizes tiny small base] [--ways ...]` compresses, saves,
loads and converts each size, every step in a process of its own, whose peak memory Linux knows. The
errors say little: random matrices are the hardest to compress.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Where other processes have work, too, threads of OpenBLAS wait for each other most of the time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks import machine
from benchmarks.step_memory import resident
from benchmarks.tables import RESULTS, Results

VOCABULARY, LENGTH, ROWS = 30_522, 128, 32
# Rows that calibration does not see, for the errors.
JUDGED_ROWS = 8
TOLERANCE = 0.5
QUANTIZATIONS = ("float32", "dynamic", "int8")
WAYS = ("nothing", "budget", "energy", "budget + data", "energy + data")
GIB = 2**30


class Shape(NamedTuple):
    """What makes an encoder large."""

    layers: int
    heads: int
    hidden: int
    intermediate: int


SHAPES = {
    "tiny": Shape(2, 2, 128, 512),
    "small": Shape(4, 8, 512, 2048),
    "base": Shape(12, 12, 768, 3072),
}


def encoder(shape: Shape, vocabulary: int = VOCABULARY, length: int = LENGTH) -> Any:
    """An encoder with random weights, always the same."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(0)
    return keras_hub.models.BertBackbone(
        vocabulary,
        shape.layers,
        shape.heads,
        shape.hidden,
        shape.intermediate,
        max_sequence_length=length,
    )


def sequences(
    rows: int, seed: int, vocabulary: int = VOCABULARY, length: int = LENGTH
) -> dict[str, np.ndarray]:
    """Random ids in two segments, the last quarter of every other sequence padded."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (rows, length), dtype="int32")
    padding, segments = np.ones_like(ids), np.zeros_like(ids)
    padding[::2, -length // 4 :] = 0
    segments[:, length // 2 :] = 1
    return {"token_ids": ids, "padding_mask": padding, "segment_ids": segments}


def with_fixed_length(model: Any, length: int = LENGTH) -> Any:
    """The encoder for sequences of one length, as a device needs it."""
    import keras

    inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in model.input}
    return keras.Model(inputs, model(inputs), name=model.name)


def compressed(model: Any, way: str, data: Any) -> Any:
    """The model by one of the ways: to a third of its parameters, or within a tolerance."""
    from dart_keras.compression import compress
    from dart_keras.selection import Budget, Energy

    if way == "nothing":
        return model
    kind, _, calibrated = way.partition(" + ")
    third = model.count_params() // 3
    budget = Budget(third) if kind == "budget" else Energy(TOLERANCE)
    small, _ = compress(model, budget, data if calibrated else None)
    return small


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a call returns, its seconds, and the peak of the process's memory meanwhile."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    # Has the kernel forget the peak so far.
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return result, {"seconds": seconds, "peak GiB": resident("VmHWM") / GIB}


def compress_step(size: str, way: str, folder: Path, rows: int) -> list[dict[str, Any]]:
    """Compress and save; keeps the outputs for the other steps."""
    model, judged = encoder(SHAPES[size]), sequences(JUDGED_ROWS, seed=1)
    # Outside the measurement: the first call prepares what all later ones use.
    before = model.predict(judged, verbose=0)
    small, compressing = measured(lambda: compressed(model, way, sequences(rows, seed=0)))
    path = folder / "model.keras"
    _, saving = measured(lambda: small.save(path))
    after = small.predict(judged, verbose=0)
    np.savez(folder / "outputs.npz", **after)
    errors = [
        float(np.linalg.norm(after[name] - before[name]) / np.linalg.norm(before[name]))
        for name in before
    ]
    counts = {"parameters before": model.count_params(), "parameters": small.count_params()}
    steps = [{"step": "save", **saving, "bytes": path.stat().st_size}]
    if way != "nothing":
        steps.insert(0, {"step": "compress", **compressing, **counts, "error": max(errors)})
    return steps


def load_step(folder: Path) -> list[dict[str, Any]]:
    """Load; the error is the largest difference of an output."""
    import keras
    import keras_hub  # noqa: F401

    import dart_keras  # noqa: F401

    model, loading = measured(lambda: keras.saving.load_model(folder / "model.keras"))
    outputs = model.predict(sequences(JUDGED_ROWS, seed=1), verbose=0)
    expected = np.load(folder / "outputs.npz")
    differences = [float(np.abs(outputs[name] - expected[name]).max()) for name in outputs]
    return [{"step": "load", **loading, "error": max(differences)}]


def convert_step(folder: Path, quantization: str, rows: int) -> list[dict[str, Any]]:
    """Load and convert; only the conversion is measured, the error is that of the file."""
    import keras
    import keras_hub  # noqa: F401

    from dart_keras.deployment import convert

    model = with_fixed_length(keras.saving.load_model(folder / "model.keras"))
    data = sequences(rows, seed=0)
    artifact, converting = measured(
        lambda: convert(model, quantization=quantization, calibration_data=data)
    )
    litert = artifact.report["runtimes"]["litert"]
    figures = {
        "bytes": artifact.size,
        "error": max(output["relative_error"] for output in litert["outputs"]),
        "milliseconds": litert["microseconds"] / 1000,
    }
    return [{"step": quantization, **converting, **figures}]


def steps_of(size: str, way: str, rows: int, folder: Path) -> Iterator[list[str]]:
    """The arguments of the processes, one after another."""
    common = ["--folder", str(folder), "--rows", str(rows)]
    yield ["compress", "--sizes", size, "--ways", way, *common]
    yield ["load", *common]
    for quantization in QUANTIZATIONS:
        yield ["convert", "--quantization", quantization, *common]


def in_a_process(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """The figures of some steps, or why there are none."""
    command = [sys.executable, "-m", "benchmarks.compression.bert", "--step", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines() or [""]
    if done.returncode == 0:
        return json.loads(lines[-1])
    step = arguments[2] if arguments[0] == "convert" else arguments[0]
    return [{"step": step, "failed": lines[-1] or f"exit status {done.returncode}"}]


def measure(size: str, way: str, rows: int) -> Iterator[dict[str, Any]]:
    """The steps of one encoder by one way."""
    with tempfile.TemporaryDirectory() as folder:
        for arguments in steps_of(size, way, rows, Path(folder)):
            for figures in in_a_process(arguments):
                yield {"size": size, "compressed by": way, **figures}
            if arguments[0] == "compress" and "failed" in figures:
                return


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compression.bert", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rows", type=int, default=ROWS, help="calibration sequences")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / "compression_bert.json",
        help="the JSON file; by default in benchmarks/results",
    )
    for name, options in {
        "step": {"choices": ("compress", "load", "convert")},
        "quantization": {"choices": QUANTIZATIONS},
        "folder": {"type": Path},
    }.items():
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS, **options)
    return parser.parse_args(argv)


def main() -> None:
    arguments = parsed()
    if arguments.step:
        machine.prepare()
        if arguments.step == "compress":
            [size], [way] = arguments.sizes, arguments.ways
            figures = compress_step(size, way, arguments.folder, arguments.rows)
        elif arguments.step == "load":
            figures = load_step(arguments.folder)
        else:
            figures = convert_step(arguments.folder, arguments.quantization, arguments.rows)
        print(json.dumps(figures))
        return
    results = Results(
        f"BERT encoders with random weights, {arguments.rows} sequences of {LENGTH} ids: what each "
        "step takes",
        ["size", "compressed by", "step", "seconds", "peak GiB", "parameters", "bytes", "error"],
        arguments.output,
    )
    results.content["machine"]["versions"]["keras-hub"] = version("keras-hub")
    for size in arguments.sizes:
        for way in arguments.ways:
            for cell in measure(size, way, arguments.rows):
                results.add(cell, _failure(cell))
    results.finish(summary(results.cells))


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What holds over all cells, and what failed."""
    loaded = [cell["error"] for cell in cells if cell["step"] == "load" and "error" in cell]
    return {
        "largest difference after loading": max(loaded, default=None),
        "failed": [cell for cell in cells if "failed" in cell],
    }


def _failure(cell: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": "failed"} if "failed" in cell else {}


if __name__ == "__main__":
    main()
