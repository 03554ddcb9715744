"""Runs a model on LiteRT; imports nothing of this package, so that `worker.py` starts quickly."""

import time
from collections.abc import Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def answer(
    content: bytes, inputs: Sequence[np.ndarray], minimum_runs: int, kernels: str
) -> tuple[list[np.ndarray], float]:
    """Run row by row on one thread; return the stacked outputs and the median microseconds."""
    interpreter = Interpreter(
        model_content=content,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType[kernels],
    )
    interpreter.allocate_tensors()
    # In the file's order, which is the Keras model's.
    takes = [detail["index"] for detail in interpreter.get_input_details()]
    gives = [detail["index"] for detail in interpreter.get_output_details()]
    rows, times = [], []
    for row in zip(*inputs, strict=True):
        for index, value in zip(takes, row, strict=True):
            interpreter.set_tensor(index, value[None])
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
        rows.append([interpreter.get_tensor(index) for index in gives])
    while len(times) < minimum_runs:
        start = time.perf_counter()
        interpreter.invoke()
        times.append(time.perf_counter() - start)
    outputs = [np.stack(parts)[:, 0] for parts in zip(*rows, strict=True)]
    return outputs, float(np.median(times) * 1e6)
