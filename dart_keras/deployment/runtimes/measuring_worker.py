"""Measures what it takes to load and to run a file, in a process that does nothing else.

Like `tflm_worker` it is run as a script and imports nothing of this package: it reads a pickled
request from stdin and writes a pickled answer to stdout.
"""

import os
import pickle
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def _prepare(request: dict[str, Any]) -> Callable[[], Any]:
    # The runtime itself is in memory before anything is measured.
    content = request["content"]
    if request["kernels"] is None:
        from tflite_micro import runtime

        return lambda: runtime.Interpreter.from_bytes(content, arena_size=request["arena_size"])
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def load() -> Any:
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=OpResolverType[request["kernels"]],
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


def measure(request: dict[str, Any]) -> tuple[float, float, float, int | None]:
    """Returns the seconds of loading, of the first and of the median run, and bytes of memory."""
    load = _prepare(request)
    litert = request["kernels"] is not None
    rows = list(zip(*request["inputs"], strict=True))
    _forget_peak()
    before = _resident("VmRSS")
    start = time.perf_counter()
    interpreter = load()
    loaded = time.perf_counter() - start
    first = _invoke(interpreter, rows[0], litert)
    times = [_invoke(interpreter, rows[k % len(rows)], litert) for k in range(request["runs"])]
    peak = _resident("VmHWM")
    memory = None if peak is None or before is None else peak - before
    return loaded, first, float(np.median(times)), memory


def main() -> None:
    """Answers one request."""
    # Whatever the runtimes may print goes to stderr, so that stdout holds the answer alone.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    request = pickle.load(sys.stdin.buffer)
    with answer:
        pickle.dump(measure(request), answer)


if __name__ == "__main__":
    main()
