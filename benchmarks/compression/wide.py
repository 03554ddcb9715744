"""Time and memory to compress a wide layer after a `Flatten`, from few calibration rows.

`python -m benchmarks.compression.wide` compresses models whose first layer has thousands of inputs:
to a share of the parameters, to a flash budget, and with recovery. Each cell has a process of its
own, whose peak memory Linux records. The data are of few directions and noise, as pictures are.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Set before TensorFlow is imported: silence its notices about processors and compilers.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.compression.cells import in_process, peak_megabytes
from benchmarks.tables import RESULTS, Results

# Shapes of the pictures, and units of the layer.
MODELS = {"8000 to 64": ((20, 20, 20), 64), "30000 to 128": ((100, 100, 3), 128)}
WAYS = ("parameters", "flash", "recovery")
COLUMNS = ("model", "way", "seconds", "cpu_seconds", "megabytes", "model output error")
_ROWS, _DIRECTIONS, _NOISE, _SHARE, _EPOCHS = 200, 40, 0.1, 0.3, 2


def main(argv: list[str] | None = None) -> int:
    parsed = _parse(argv)
    if parsed.cell:
        print(json.dumps(measure(*parsed.cell)))
        return 0
    results = Results("Wide layers compressed", COLUMNS, parsed.output)
    for model in parsed.models:
        for way in parsed.ways:
            results.add(in_process("wide", model, way))
    results.finish({"rows": _ROWS, "share of the parameters": _SHARE, "epochs": _EPOCHS})
    return 0


def measure(name: str, way: str) -> dict[str, Any]:
    """Return the cell of a model and a budget.

    Args:
        name: A key of `MODELS`.
        way: One of `WAYS`.
    """
    import keras

    from dart_keras import budgets
    from dart_keras.compression import compress

    shape, units = MODELS[name]
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(units, "relu")
    stack = [keras.Input(shape), keras.layers.Flatten(), hidden, keras.layers.Dense(10)]
    model = keras.Sequential(stack)
    rng = np.random.default_rng(0)
    inputs = int(np.prod(shape))
    x = rng.normal(size=(_ROWS, _DIRECTIONS)) @ rng.normal(size=(_DIRECTIONS, inputs))
    x = x / _DIRECTIONS**0.5 + _NOISE * rng.normal(size=x.shape)
    x = x.reshape(-1, *shape).astype("float32")
    count = int(_SHARE * model.count_params())
    budget = budgets.FlashBytes(count) if way == "flash" else budgets.Parameters(count)
    epochs = _EPOCHS if way == "recovery" else 0
    before, cpu, started = peak_megabytes(), time.process_time(), time.perf_counter()
    _, report = compress(model, budget, x, recovery_epochs=epochs)
    return {
        "model": name,
        "way": way,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "megabytes": round(peak_megabytes() - before),
        "model output error": round(report.end_error or 0.0, 4),
    }


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.compression.wide", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=list(MODELS))
    add("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    add("--output", type=Path, default=RESULTS / "compression_wide.json")
    add("--cell", nargs=2, metavar=("MODEL", "WAY"), help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
