"""Runs a model on LiteRT; imports nothing of this package, so that `worker.py` starts quickly."""

import time
from collections.abc import Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def answer(
    content: bytes,
    inputs: Sequence[np.ndarray],
    minimum_runs: int,
    kernels: str,
    seconds: float,
) -> tuple[list[np.ndarray], list[float]]:
    """Run row by row on one thread, until the seconds are over but at least one row.

    Returns:
        The stacked outputs, and the seconds of each inference.
    """
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType[kernels],
    )
    interpreter.allocate_tensors()
    # In the file's order, which is the Keras model's.
    takes = [detail["index"] for detail in interpreter.get_input_details()]
    gives = [detail["index"] for detail in interpreter.get_output_details()]
    rows: list[list[np.ndarray]] = []
    times: list[float] = []
    end = time.monotonic() + seconds
    given = list(zip(*inputs, strict=True))
    while not rows or (len(times) < max(len(given), minimum_runs) and time.monotonic() < end):
        if len(rows) < len(given):
            for index, value in zip(takes, given[len(rows)], strict=True):
                interpreter.set_tensor(index, value[None])
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
        if len(rows) < len(given):
            rows.append([interpreter.get_tensor(index) for index in gives])
    outputs = [np.stack(parts)[:, 0] for parts in zip(*rows, strict=True)]
    return outputs, times
