import pickle
import re
import subprocess
from collections.abc import Sequence

import numpy as np

from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.result import RefusedError, RunResult
from dart_keras.devices import RUNTIMES

# More bytes than any microcontroller has. Only what is used of them becomes real memory.
LARGEST_ARENA = 64 * 2**20

# How the interpreter names the operator that it lacks, or the one that it cannot set up or run.
_NO_KERNEL = re.compile(
    r"Didn't find op for builtin opcode '(\w+)'|registration from op code (\w+)"
)
_BAD_NODE = re.compile(r"Node (\w+) \(number (\d+)f?\) failed to (prepare|invoke)")


def run_on_tflm(
    content: bytes,
    inputs: Sequence[np.ndarray],
    arena_size: int | None = None,
    minimum_runs: int = 0,
    seconds: float | None = None,
) -> RunResult:
    """Run a file on TensorFlow Lite Micro's own interpreter, row by row.

    Args:
        content: The file.
        inputs: One array of shape (rows, ...) for each input, already quantized.
        arena_size: Bytes of working memory. None finds the smallest that works.
        minimum_runs: Repeat the last row until this many inferences have been timed.
        seconds: The most that it may take, for a file that may be damaged. None for no limit.

    Raises:
        RefusedError: If the interpreter cannot run the file.
        ImportError: If `tflite-micro` is not installed.
    """
    RUNTIMES["tflm"].require()
    request = {
        "content": content,
        "inputs": list(inputs),
        "arena_size": arena_size,
        "largest_arena": LARGEST_ARENA,
        "minimum_runs": minimum_runs,
    }
    done = child_process.ask("tflm_worker.py", request, seconds)
    if done.returncode:
        raise _explained(done, content)
    return RunResult(*pickle.loads(done.stdout))


def _explained(done: "subprocess.CompletedProcess[bytes]", content: bytes) -> RefusedError:
    text = done.stderr.decode(errors="replace")
    missing = [first or second for first, second in _NO_KERNEL.findall(text)]
    if missing:
        operators = ModelFile(content).operators
        return RefusedError(
            "TensorFlow Lite Micro has no kernel for an operator of the model.",
            missing,
            [index for index, operator in enumerate(operators) if operator.name in missing],
        )
    bad = _BAD_NODE.search(text)
    return RefusedError(
        f"TensorFlow Lite Micro cannot run the model: {child_process.reason(done)}.",
        [bad[1]] if bad else [],
        [int(bad[2])] if bad else [],
    )
