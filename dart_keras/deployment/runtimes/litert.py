import pickle
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.file_work import loops
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.result import RefusedError, RunResult
from dart_keras.deployment.runtimes.row_slices import SLICE_SECONDS, run_in_slices
from dart_keras.deployment.runtimes.time_limit import TimeLimit
from dart_keras.utils.optional_imports import import_extra
from dart_keras.utils.quiet import quiet

# The members of `OpResolverType` that hold LiteRT's kernels.
KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}

LITERT_NAME = "LiteRT"

_BAD_NODE = re.compile(r"Node number (\d+) \((\w+)\) failed")


def run_on_litert(
    content: bytes,
    inputs: Sequence[np.ndarray],
    minimum_runs: int = 0,
    kernels: str = "xnnpack",
    seconds: float | None = None,
    row_seconds: float | None = None,
) -> RunResult:
    """Run a file on LiteRT, as a Raspberry Pi does, on one thread and row by row.

    A file with a loop, which might never end, runs in a process of its own. Any other ends.

    Args:
        content: The file.
        inputs: One array of shape (rows, ...) for each input, already quantized.
        minimum_runs: Repeat the last row until this many inferences have been timed, for a few
            seconds at most.
        kernels: `"xnnpack"`, which LiteRT takes by itself; `"builtin"`, its own
            kernels without XNNPACK; or `"reference"`, its reference kernels, which are slow.
        seconds: The most that it may take, for a file that may be damaged: it runs in a
            process of its own. None for one that the converter made, which gets a limit that
            scales with what it computes.
        row_seconds: After so many, and a few rows, no further ones are begun; None for all.

    Raises:
        RefusedError: If LiteRT cannot run the file, or takes too long.
        ImportError: If `ai-edge-litert` is not installed.
    """
    import_extra("ai_edge_litert.interpreter", "ai-edge-litert")
    # Only here, because it imports that package.
    from dart_keras.deployment.runtimes import litert_worker

    if seconds is None:
        limit = TimeLimit.of_file(LITERT_NAME, content, len(inputs[0]) + minimum_runs)
        apart = bool(loops(content))
    else:
        limit, apart = TimeLimit(LITERT_NAME, seconds), True

    def run_slice(rows: list[np.ndarray], runs: int) -> tuple[list[np.ndarray], list[float]]:
        request: dict[str, Any] = {
            "content": content,
            "inputs": rows,
            "minimum_runs": runs,
            "kernels": KERNELS[kernels],
            "seconds": SLICE_SECONDS,
        }
        if apart:
            done = child_process.ask("litert_worker.py", request, limit)
            if done.returncode:
                raise _refusal(child_process.reason(done))
            return pickle.loads(done.stdout)
        _ = limit.left
        try:
            with quiet():
                return litert_worker.answer(**request)
        except (RuntimeError, ValueError) as error:
            raise _refusal(str(error)) from error

    return run_in_slices(run_slice, inputs, minimum_runs, limit, row_seconds)


def _refusal(reason: str) -> RefusedError:
    blamed = _BAD_NODE.findall(reason)
    return RefusedError(
        f"{LITERT_NAME} cannot run the model: {reason}",
        [name for _, name in blamed],
        [int(index) for index, _ in blamed],
    )
