"""What the figures were taken on, and the number of threads that everybody gets."""

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


def prepare() -> None:
    """Give TensorFlow and, where it is in use, PyTorch two threads; to be called first.

    That a layer must be slower than a dense one is in the tables, so that nobody is warned of it.
    """
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(THREADS)
    warnings.filterwarnings("ignore", message=".* is slower than a dense layer would be")


def describe() -> dict[str, Any]:
    """The processor, the system and the versions of what takes part.

    The load tells whether the machine was quiet. Where it is not, PyTorch suffers most: its threads
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
    """The versions of those packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """The model of the processor, with its family where the name does not tell it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    facts = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    name = facts.get("model name", platform.processor())
    return f"{name}, family {facts.get('cpu family')}, model {facts.get('model')}"
