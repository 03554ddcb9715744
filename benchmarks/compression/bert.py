"""Time and memory to compress KerasHub's BERT encoder with random weights.

`python -m benchmarks.compression.bert [--sizes tiny small base] [--methods ...]` compresses, saves,
loads and converts each size. Each step has its own process, whose peak memory Linux records. The
errors say little, because random matrices are the hardest to compress.
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
# On a busy machine, OpenBLAS threads would mostly wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from benchmarks import environment
from benchmarks.step_memory import resident
from benchmarks.tables import RESULTS, Results

VOCABULARY, LENGTH, ROWS = 30_522, 128, 32
# Rows to measure errors on, not used for calibration.
TEST_ROWS = 8
TOLERANCE = 0.5
QUANTIZATIONS = ("float32", "dynamic", "int8")
METHODS = ("nothing", "budget", "tolerance", "budget + data", "tolerance + data")
GIB = 2**30


class EncoderSize(NamedTuple):
    """Size of an encoder."""

    layers: int
    heads: int
    hidden: int
    intermediate: int


SIZES = {
    "tiny": EncoderSize(2, 2, 128, 512),
    "small": EncoderSize(4, 8, 512, 2048),
    "base": EncoderSize(12, 12, 768, 3072),
}


def encoder(shape: EncoderSize, vocabulary: int = VOCABULARY, length: int = LENGTH) -> Any:
    """Return an encoder with random weights from a fixed seed."""
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
    """Return random ids in two segments; every other sequence is padded in its last quarter."""
    ids = np.random.default_rng(seed).integers(0, vocabulary, (rows, length), dtype="int32")
    padding, segments = np.ones_like(ids), np.zeros_like(ids)
    padding[::2, -length // 4 :] = 0
    segments[:, length // 2 :] = 1
    return {"token_ids": ids, "padding_mask": padding, "segment_ids": segments}


def with_fixed_length(model: Any, length: int = LENGTH) -> Any:
    """Return the encoder with a fixed sequence length, as a device needs it."""
    import keras

    inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in model.input}
    return keras.Model(inputs, model(inputs), name=model.name)


def compressed(model: Any, method: str, data: Any) -> Any:
    """Compress the model to a third of its parameters, or within a tolerance."""
    from dart_keras.budgets import Parameters, RelativeError
    from dart_keras.compression import compress

    if method == "nothing":
        return model
    kind, _, calibrated = method.partition(" + ")
    third = model.count_params() // 3
    budget = Parameters(third) if kind == "budget" else RelativeError(TOLERANCE)
    small, _ = compress(model, budget, data if calibrated else None)
    return small


def measured(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what a call returns, its seconds, and the peak memory of the process meanwhile."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    # Reset the kernel's record of the peak.
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    return result, {"seconds": seconds, "peak GiB": resident("VmHWM") / GIB}


def compress_step(size: str, method: str, folder: Path, rows: int) -> list[dict[str, Any]]:
    """Compress and save the model, and keep its outputs for the other steps."""
    model, test_data = encoder(SIZES[size]), sequences(TEST_ROWS, seed=1)
    # Not measured: the first call does setup that later ones reuse.
    before = model.predict(test_data, verbose=0)
    small, compressing = measured(lambda: compressed(model, method, sequences(rows, seed=0)))
    path = folder / "model.keras"
    _, saving = measured(lambda: small.save(path))
    after = small.predict(test_data, verbose=0)
    np.savez(folder / "outputs.npz", **after)
    errors = [
        float(np.linalg.norm(after[name] - before[name]) / np.linalg.norm(before[name]))
        for name in before
    ]
    counts = {"parameters before": model.count_params(), "parameters": small.count_params()}
    steps = [{"step": "save", **saving, "bytes": path.stat().st_size}]
    if method != "nothing":
        steps.insert(0, {"step": "compress", **compressing, **counts, "error": max(errors)})
    return steps


def load_step(folder: Path) -> list[dict[str, Any]]:
    """Load the model; its error is the largest difference of an output."""
    import keras
    import keras_hub  # noqa: F401

    import dart_keras  # noqa: F401

    model, loading = measured(lambda: keras.saving.load_model(folder / "model.keras"))
    outputs = model.predict(sequences(TEST_ROWS, seed=1), verbose=0)
    expected = np.load(folder / "outputs.npz")
    differences = [float(np.abs(outputs[name] - expected[name]).max()) for name in outputs]
    return [{"step": "load", **loading, "error": max(differences)}]


def convert_step(folder: Path, quantization: str, rows: int) -> list[dict[str, Any]]:
    """Load and convert the model; only the conversion is timed, the error is the file's."""
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


def steps_of(size: str, method: str, rows: int, folder: Path) -> Iterator[list[str]]:
    """Yield the arguments of each process in order."""
    common = ["--folder", str(folder), "--rows", str(rows)]
    yield ["compress", "--sizes", size, "--methods", method, *common]
    yield ["load", *common]
    for quantization in QUANTIZATIONS:
        yield ["convert", "--quantization", quantization, *common]


def in_subprocess(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Return the figures of a step, or why it failed."""
    command = [sys.executable, "-m", "benchmarks.compression.bert", "--step", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout if done.returncode == 0 else done.stderr).splitlines() or [""]
    if done.returncode == 0:
        return json.loads(lines[-1])
    step = arguments[2] if arguments[0] == "convert" else arguments[0]
    return [{"step": step, "failed": lines[-1] or f"exit status {done.returncode}"}]


def measure(size: str, method: str, rows: int) -> Iterator[dict[str, Any]]:
    """Yield the figures of all steps for one encoder and method."""
    with tempfile.TemporaryDirectory() as folder:
        for arguments in steps_of(size, method, rows, Path(folder)):
            for figures in in_subprocess(arguments):
                yield {"size": size, "compressed by": method, **figures}
            if arguments[0] == "compress" and "failed" in figures:
                return


def parsed(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compression.bert", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--rows", type=int, default=ROWS, help="calibration sequences")
    parser.add_argument(
        "--output",
        type=Path,
        default=RESULTS / "compression_bert.json",
        help="JSON file; by default in benchmarks/results",
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
        environment.prepare()
        if arguments.step == "compress":
            [size], [method] = arguments.sizes, arguments.methods
            figures = compress_step(size, method, arguments.folder, arguments.rows)
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
    results.content["environment"]["versions"]["keras-hub"] = version("keras-hub")
    for size in arguments.sizes:
        for method in arguments.methods:
            for cell in measure(size, method, arguments.rows):
                results.add(cell, _failure(cell))
    results.finish(summary(results.cells))


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the largest difference after loading, and the failures."""
    loaded = [cell["error"] for cell in cells if cell["step"] == "load" and "error" in cell]
    return {
        "largest difference after loading": max(loaded, default=None),
        "failed": [cell for cell in cells if "failed" in cell],
    }


def _failure(cell: dict[str, Any]) -> dict[str, Any]:
    return {"seconds": "failed"} if "failed" in cell else {}


if __name__ == "__main__":
    main()
