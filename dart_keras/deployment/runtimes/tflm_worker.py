"""Runs a model on TensorFlow Lite Micro; imports nothing of this package, as `worker.py` wants.

With an arena that is too small, the interpreter may write where it must not and bring its
process down. Nothing of this is therefore called in a process that matters.
"""

import itertools
import math
import os
import time

import numpy as np
from tflite_micro import runtime

ALIGNMENT = 16


def answer(
    content: bytes,
    inputs: list[np.ndarray],
    arena_size: int | None,
    largest_arena: int,
    minimum_runs: int,
    seconds: float,
) -> tuple[list[np.ndarray], list[float], int]:
    """Return what `run_rows` does and the arena's size, by default the smallest that works."""
    if arena_size is None:
        # Also shows what is wrong with a model that runs in no arena at all.
        run_rows(content, [array[:1] for array in inputs], largest_arena)
        arena_size = smallest_arena(content, inputs, largest_arena)
    return *run_rows(content, inputs, arena_size, minimum_runs, seconds), arena_size


def run_rows(
    content: bytes,
    inputs: list[np.ndarray],
    arena_size: int,
    minimum_runs: int = 0,
    seconds: float = math.inf,
) -> tuple[list[np.ndarray], list[float]]:
    """Run row by row, until the seconds are over but at least one row.

    Returns:
        The stacked outputs, and the seconds of each inference.
    """
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena_size)
    count = _count_outputs(content)
    rows: list[list[np.ndarray]] = []
    times: list[float] = []
    given = list(zip(*inputs, strict=True))
    end = time.monotonic() + seconds
    # The interpreter uses an input's memory for other tensors, so that every run needs it anew.
    for row in itertools.islice(itertools.cycle(given), max(len(given), minimum_runs)):
        if rows and time.monotonic() >= end:
            break
        for index, value in enumerate(row):
            interpreter.set_input(value[None], index)
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
        if len(rows) < len(given):
            rows.append([interpreter.get_output(i) for i in range(count)])
    outputs = [np.stack(parts)[:, 0] for parts in zip(*rows, strict=True)]
    return outputs, times


def smallest_arena(content: bytes, inputs: list[np.ndarray], largest: int) -> int:
    """Find the smallest arena, a multiple of 16 bytes, in which one row runs."""
    first = [array[:1] for array in inputs]
    too_small, enough = 0, largest // ALIGNMENT
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if _fits(content, first, middle * ALIGNMENT):
            enough = middle
        else:
            too_small = middle
    return enough * ALIGNMENT


def _fits(content: bytes, inputs: list[np.ndarray], arena_size: int) -> bool:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            run_rows(content, inputs, arena_size)
            status = 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1] == 0


def _count_outputs(content: bytes) -> int:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    return int(schema.Model.GetRootAsModel(content, 0).Subgraphs(0).OutputsLength())
