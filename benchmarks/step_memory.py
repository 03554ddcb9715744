"""The peak memory of a training step of an embedding, each way in a process of its own.

    python -m benchmarks.step_memory lookup

prints it for one way. Only on Linux, whose kernel keeps the peak of a process and can forget it.
TensorFlow runs without oneDNN here, whose allocator keeps all memory that it ever had, so that no
step after the first would raise the peak.
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

WAYS = ("lookup", "rebuild", "dense")
VOCABULARY, WIDTH, RANK, IDS = 30_522, 768, 16, 4096
FLOAT = 4
STEPS = 9


def of_all() -> dict[str, Any]:
    """The bytes by which each way's step raises the memory of its process.

    Every way has to hold the output, whose gradient is there before; what it needs beyond this is
    its own.
    """
    shared, table = IDS * WIDTH * FLOAT, VOCABULARY * WIDTH * FLOAT
    found: dict[str, Any] = {"output": shared, "table": table}
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.step_memory", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks = json.loads(done.stdout.splitlines()[-1])
        middle = statistics.median(peaks)
        found[way] = {
            "bytes": middle,
            "largest": max(peaks),
            "beyond, as a share of the table": (middle - shared) / table,
        }
    return found


def of_steps(way: str) -> list[int]:
    """Bytes by which the peaks of some steps lie above the level before each.

    They differ: what is in memory at the same time depends on which thread is first.
    """
    step = training_step(way)
    # The first steps prepare what later ones use again.
    step()
    step()
    return [growth(step) for _ in range(STEPS)]


def growth(step: Callable[[], object]) -> int:
    """Bytes by which the peak of one step lies above the level before it."""
    gc.collect()
    # What was freed goes back to the system, so that the step has to ask for all it needs.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return resident("VmHWM") - before


def training_step(way: str) -> Any:
    """A compiled step of 4096 uniformly drawn ids."""
    import keras
    import numpy as np

    from benchmarks.competitors import rebuilding
    from benchmarks.steps import keras_steps
    from dart_keras.layers import TTEmbedding

    rng = np.random.default_rng(0)
    ids = rng.integers(0, VOCABULARY, IDS).astype("int32")
    flow = rng.normal(size=(IDS, WIDTH)).astype("float32")
    if way == "dense":
        dense = keras.layers.Embedding(VOCABULARY, WIDTH)
        dense.build()
        return keras_steps(dense, ids, flow).training
    layer = TTEmbedding(VOCABULARY, WIDTH, RANK)
    layer.build()
    if way == "lookup":
        return keras_steps(layer, ids, flow).training
    cores = [keras.ops.convert_to_numpy(core) for core in layer.cores]
    return rebuilding.embedding(cores, WIDTH, ids, flow).training


def resident(field: str) -> int:
    """Bytes of the process in memory now (`VmRSS`) or at the peak (`VmHWM`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise OSError(f"Expected the field {field} in /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    way = parser.parse_args().way
    # Before TensorFlow is imported.
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from benchmarks import machine

    machine.prepare()
    print(json.dumps(of_steps(way)))


if __name__ == "__main__":
    main()
