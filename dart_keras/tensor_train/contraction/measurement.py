"""Time the candidate plans on this machine once, and cache the fastest."""

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from dart_keras.tensor_train.contraction.contract import contract
from dart_keras.tensor_train.contraction.plan import ContractionPlan
from dart_keras.utils.atomic_write import write_files

# Candidates estimated to be slower than this times the fastest are not timed.
_HOPELESS = 5.0
_ROUNDS = 7


def fastest_plan(plans: Sequence[ContractionPlan], dtype: str) -> ContractionPlan:
    """Return the plan that is fastest when TensorFlow runs it on this machine.

    The answer is cached in `dart_keras/contractions.json` in Keras' home folder, `KERAS_HOME` or
    `~/.keras`, by TT matrix, number of rows, dtype, TensorFlow version, processor and threads.

    Args:
        plans: Plans for one TT matrix, fastest first by estimate.
        dtype: Name of the floating-point dtype to compute in.

    Returns:
        One of the plans.
    """
    key = _key(plans[0], dtype)
    paths = _cached().get(key)
    for plan in plans:
        if paths is not None and [list(pair) for pair in plan.path] == paths:
            return plan
    worth_it = [p for p in plans if p.microseconds <= _HOPELESS * plans[0].microseconds]
    # In a thread of its own, which is outside the graph and the gradients that the caller may be
    # in.
    with ThreadPoolExecutor(1) as other_thread:
        fastest = other_thread.submit(_timed, worth_it, dtype).result()
    _cache(key, [list(pair) for pair in fastest.path])
    return fastest


def _timed(plans: Sequence[ContractionPlan], dtype: str) -> ContractionPlan:
    import tensorflow as tf

    network = plans[0].network
    rng = np.random.default_rng(0)
    shapes = [(network.rows, network.dense_shape[0]), *network.core_shapes]
    tensors = [tf.cast(rng.standard_normal(shape), dtype) for shape in shapes]
    runs = [_compiled(plan) for plan in plans]
    times = np.zeros((_ROUNDS, len(plans)))
    for run in runs:
        run(tensors)
    # In turns, so that a busy moment of the machine affects all plans alike.
    for turn in range(_ROUNDS):
        for k, run in enumerate(runs):
            start = time.perf_counter()
            run(tensors)
            times[turn, k] = time.perf_counter() - start
    return plans[int(np.argmin(np.median(times, axis=0)))]


def _compiled(plan: ContractionPlan) -> Callable[[list[Any]], Any]:
    import tensorflow as tf

    @tf.function(autograph=False)
    def run(tensors: list[Any]) -> Any:
        if not plan.training:
            return tf.reduce_sum(contract(tensors[0], tensors[1:], plan))
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = contract(tensors[0], tensors[1:], plan)
        return [tf.reduce_sum(gradient) for gradient in tape.gradient(output, tensors)]

    return run


def _key(plan: ContractionPlan, dtype: str) -> str:
    import tensorflow as tf

    network = plan.network
    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    what = (network.input_modes, network.output_modes, network.ranks, network.rows, plan.training)
    where = (dtype, tf.__version__, platform.machine(), _processor(), threads)
    return repr((what, where))


@cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _file() -> Path:
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    return Path(home) / "dart_keras" / "contractions.json"


def _cached() -> dict[str, list[list[int]]]:
    # With a missing or broken file, the plans are timed again.
    with contextlib.suppress(OSError, ValueError):
        cached = json.loads(_file().read_text())
        if isinstance(cached, dict):
            return cached
    return {}


def _cache(key: str, path: list[list[int]]) -> None:
    # No process reads half a file, and what is killed leaves nothing that stays. If the folder is
    # not writable, the next process times the plans again.
    with contextlib.suppress(OSError):
        file = _file()
        content = json.dumps(_cached() | {key: path}, indent=0)
        write_files(file.parent, {file.name: content.encode()})
