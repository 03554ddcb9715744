"""Measures what it takes to load and to run a file, where `worker.py` does nothing else."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def _prepare(content: bytes, kernels: str | None, arena_size: int | None) -> Callable[[], Any]:
    # The runtime itself is in memory before anything is measured.
    if kernels is None:
        from tflite_micro import runtime

        return lambda: runtime.Interpreter.from_bytes(content, arena_size=arena_size)
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def load() -> Any:
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType[kernels],
        )
        interpreter.allocate_tensors()
        return interpreter

    return load


def _invoke(interpreter: Any, row: Sequence[np.ndarray], litert: bool) -> float:
    if litert:
        for detail, value in zip(interpreter.get_input_details(), row, strict=True):
            interpreter.set_tensor(detail["index"], value[None])
    else:
        for place, value in enumerate(row):
            interpreter.set_input(value[None], place)
    start = time.perf_counter()
    interpreter.invoke()
    return time.perf_counter() - start


def _resident(kind: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(rf"{kind}:\s+(\d+) kB", status.read_text())
    return 1024 * int(found[1]) if found else None


def _forget_peak() -> None:
    # proc(5): writing 5 sets the peak to what is resident now.
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


def answer(
    content: bytes,
    inputs: Sequence[np.ndarray],
    kernels: str | None,
    arena_size: int | None,
    runs: int,
) -> tuple[float, float, float, int | None]:
    """Return the seconds of loading, of the first and of the median run, and bytes of memory."""
    load = _prepare(content, kernels, arena_size)
    litert = kernels is not None
    rows = list(zip(*inputs, strict=True))
    _forget_peak()
    before = _resident("VmRSS")
    start = time.perf_counter()
    interpreter = load()
    loaded = time.perf_counter() - start
    first = _invoke(interpreter, rows[0], litert)
    times = [_invoke(interpreter, rows[k % len(rows)], litert) for k in range(runs)]
    peak = _resident("VmHWM")
    memory = None if peak is None or before is None else peak - before
    return loaded, first, float(np.median(times)), memory
