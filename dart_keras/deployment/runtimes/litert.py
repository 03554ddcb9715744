import pickle
import re
from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.result import RefusedError, RunResult
from dart_keras.utils.optional_imports import load
from dart_keras.utils.quiet import quiet

# The members of `OpResolverType` that hold LiteRT's kernels.
KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}

_BAD_NODE = re.compile(r"Node number (\d+) \((\w+)\) failed")


def run_on_litert(
    content: bytes,
    inputs: Sequence[np.ndarray],
    minimum_runs: int = 0,
    kernels: str = "xnnpack",
    seconds: float | None = None,
) -> RunResult:
    """Run a file on LiteRT, as a Raspberry Pi does, on one thread and row by row.

    Args:
        content: The file.
        inputs: One array of shape (rows, ...) for each input, already quantized.
        minimum_runs: Repeat the last row until this many inferences have been timed.
        kernels: `"xnnpack"`, which LiteRT takes by itself; `"builtin"`, its own
            kernels without XNNPACK; or `"reference"`, its reference kernels, which are slow.
        seconds: The most that it may take, for a file that may be damaged: it runs in a
            process of its own. None for one that the converter made.

    Raises:
        RefusedError: If LiteRT cannot run the file.
        ImportError: If `ai-edge-litert` is not installed.
    """
    load("ai_edge_litert.interpreter", "ai-edge-litert")
    # Only here, because it imports that package.
    from dart_keras.deployment.runtimes import litert_worker

    if seconds is not None:
        request = {
            "content": content,
            "inputs": list(inputs),
            "minimum_runs": minimum_runs,
            "kernels": KERNELS[kernels],
        }
        done = child_process.ask("litert_worker.py", request, seconds)
        if done.returncode:
            raise _refusal(child_process.reason(done))
        return RunResult(*pickle.loads(done.stdout))
    try:
        with quiet():
            return RunResult(*litert_worker.answer(content, inputs, minimum_runs, KERNELS[kernels]))
    except (RuntimeError, ValueError) as error:
        raise _refusal(str(error)) from error


def _refusal(reason: str) -> RefusedError:
    blamed = _BAD_NODE.findall(reason)
    return RefusedError(
        f"LiteRT cannot run the model: {reason}",
        [name for _, name in blamed],
        [int(index) for index, _ in blamed],
    )
