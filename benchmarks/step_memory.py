"""Peak memory of a training step of an embedding, each method in its own process.

    python -m benchmarks.step_memory lookup

prints it for one method. Linux only: its kernel records the peak memory of a process and can reset
it. TensorFlow runs without oneDNN here. oneDNN's allocator never frees memory, so no step after the
first would raise the peak.
"""

import argparse
import ctypes
import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

METHODS = ("lookup", "rebuild", "dense")
VOCABULARY, WIDTH, RANK, IDS = 30_522, 768, 16, 4096
FLOAT = 4
STEPS = 9


def measure_methods() -> dict[str, Any]:
    """Return the bytes by which a step of each method raises the memory of its process.

    Every method has to hold the output. Its gradient exists before the step. The memory beyond
    the output is what the method itself needs.
    """
    shared, table = IDS * WIDTH * FLOAT, VOCABULARY * WIDTH * FLOAT
    found: dict[str, Any] = {"output": shared, "table": table}
    for method in METHODS:
        command = [sys.executable, "-m", "benchmarks.step_memory", method]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks = json.loads(done.stdout.splitlines()[-1])
        middle = statistics.median(peaks)
        found[method] = {
            "bytes": middle,
            "largest": max(peaks),
            "beyond, as a share of the table": (middle - shared) / table,
        }
    return found


def step_peaks(method: str) -> list[int]:
    """Return the bytes by which each of some steps raises the peak memory.

    They differ, because the order of the threads decides what is in memory at the same time.
    """
    step = training_step(method)
    # The first steps allocate what later ones reuse.
    step()
    step()
    return [peak_increase(step) for _ in range(STEPS)]


def peak_increase(step: Callable[[], object]) -> int:
    """Return the bytes by which one step raises the peak above the level before it."""
    gc.collect()
    # Return freed memory to the system, so that the step has to allocate all it needs.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return resident("VmHWM") - before


def training_step(method: str) -> Any:
    """Return a compiled step on 4096 uniformly drawn ids."""
    import keras
    import numpy as np

    from benchmarks.baselines import reconstruction
    from benchmarks.steps import keras_steps
    from dart_keras.layers import TTEmbedding

    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCABULARY, IDS).astype("int32")
    output_gradient = rng.normal(size=(IDS, WIDTH)).astype("float32")
    if method == "dense":
        dense = keras.layers.Embedding(VOCABULARY, WIDTH)
        dense.build()
        return keras_steps(dense, ids, output_gradient).training
    layer = TTEmbedding(VOCABULARY, WIDTH, RANK)
    layer.build()
    if method == "lookup":
        return keras_steps(layer, ids, output_gradient).training
    cores = [keras.ops.convert_to_numpy(core) for core in layer.cores]
    return reconstruction.embedding(cores, WIDTH, ids, output_gradient).training


def resident(field: str) -> int:
    """Return the bytes of the process in memory now (`VmRSS`) or at the peak (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise OSError(f"Expected the field {field} in /proc/self/status. Received: no such field")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("method", choices=METHODS)
    method = parser.parse_args().method
    # Before TensorFlow is imported.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmarks import environment

    environment.prepare()
    print(json.dumps(step_peaks(method)))


if __name__ == "__main__":
    main()
