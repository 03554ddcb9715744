"""The environment of a benchmark: processor, package versions and number of threads."""

import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

THREADS = 2
PACKAGES = (
    "dart-keras",
    "keras",
    "tensorflow",
    "jax",
    "numpy",
    "t3f",
    "opt-einsum",
    "torch",
    "tensorly",
    "tensorly-torch",
    "ai-edge-litert",
    "tflite-micro",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-quantizer",
)


def prepare(threads: int = THREADS) -> None:
    """Give TensorFlow and, if imported, PyTorch some threads. Call this first.

    Warnings about slow layers are silenced, as the tables have the times.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    warnings.filterwarnings("ignore", message="Dense layers would be smaller or faster")


def describe() -> dict[str, Any]:
    """Return the processor, the system and the package versions.

    The load tells whether the machine was idle. If not, PyTorch suffers most, because its threads
    spin while they wait for each other.
    """
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "load before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the installed packages."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the processor's model name, family and model number."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    name = facts.get("model name", platform.processor())
    return f"{name}, family {facts.get('cpu family')}, model {facts.get('model')}"
