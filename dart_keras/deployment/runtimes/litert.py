import re
import time
from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.extra import load
from dart_keras.deployment.quiet import quiet
from dart_keras.deployment.runtimes.result import RefusedError, RunResult

# The members of `OpResolverType` that hold LiteRT's kernels.
KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}

_BAD_NODE = re.compile(r"Node number (\d+) \((\w+)\) failed")


def run(
    content: bytes,
    inputs: Sequence[np.ndarray],
    minimum_runs: int = 0,
    kernels: str = "xnnpack",
) -> RunResult:
    """Runs a file on LiteRT, as a Raspberry Pi does, on one thread and row by row.

    Args:
        content: The file.
        inputs: One array of shape (rows, ...) for each input, already quantized.
        minimum_runs: Go on with the last row until there were so many inferences to time.
        kernels: `"xnnpack"`, which LiteRT takes by itself; `"builtin"`, its own ones without
            XNNPACK; or `"reference"`, its plain ones, which are slow.

    Raises:
        RefusedError: If LiteRT cannot run the file.
        ImportError: If `ai-edge-litert` is not installed.
    """
    module = load("ai_edge_litert.interpreter", "ai-edge-litert")
    try:
        interpreter = module.Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=module.OpResolverType[KERNELS[kernels]],
        )
        with quiet():
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
    except (RuntimeError, ValueError) as error:
        blamed = _BAD_NODE.findall(str(error))
        raise RefusedError(
            f"LiteRT cannot run the model: {error}",
            [name for _, name in blamed],
            [int(index) for index, _ in blamed],
        ) from error
    outputs = [np.stack(parts)[:, 0] for parts in zip(*rows, strict=True)]
    return RunResult(outputs, float(np.median(times) * 1e6))
