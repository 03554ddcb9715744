import pickle
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dart_keras.deployment.flatbuffer.file_work import loops
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.runtimes import child_process
from dart_keras.deployment.runtimes.result import RefusedError, RunResult
from dart_keras.deployment.runtimes.row_slices import SLICE_SECONDS, run_in_slices
from dart_keras.deployment.runtimes.time_limit import TimeLimit
from dart_keras.devices import RUNTIMES

TFLM_NAME = "TensorFlow Lite Micro"

# More bytes than any microcontroller has. Only what is used of them becomes real memory.
LARGEST_ARENA = 64 * 2**20
# More than the search for the smallest one takes, which halves what is left with each run.
_ARENA_RUNS = 32

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
    row_seconds: float | None = None,
) -> RunResult:
    """Run a file on TensorFlow Lite Micro's own interpreter, row by row.

    Args:
        content: The file.
        inputs: One array of shape (rows, ...) for each input, already quantized.
        arena_size: Bytes of working memory. None finds the smallest that works.
        minimum_runs: Repeat rows until this many inferences have been timed, for a few seconds at
            most.
        seconds: The most that it may take, for a file that may be damaged. None for one that the
            converter made, which gets a limit that scales with what it computes.
        row_seconds: After so many, and a few rows, no further ones are begun; None for all.

    Raises:
        RefusedError: If the interpreter cannot run the file, which may have no loops, or takes too
            long.
        ImportError: If `tflite-micro` is not installed.
    """
    RUNTIMES["tflm"].require()
    if places := loops(content):
        raise RefusedError(
            f"A loop may never end on {TFLM_NAME}. Build recurrent layers with unroll=True; a "
            "trained model's weights can be set in such layers.",
            ["WHILE"],
            places,
        )
    if seconds is None:
        runs = len(inputs[0]) + minimum_runs + _ARENA_RUNS
        limit = TimeLimit.of_file(TFLM_NAME, content, runs)
    else:
        limit = TimeLimit(TFLM_NAME, seconds)

    def run_slice(rows: list[np.ndarray], runs: int) -> tuple[list[np.ndarray], list[float]]:
        nonlocal arena_size
        request = {
            "content": content,
            "inputs": rows,
            "arena_size": arena_size,
            "largest_arena": LARGEST_ARENA,
            "minimum_runs": runs,
            "seconds": SLICE_SECONDS,
        }
        done = child_process.ask("tflm_worker.py", request, limit)
        if done.returncode:
            raise _explained(done, content)
        outputs, times, arena_size = pickle.loads(done.stdout)
        return outputs, times

    result = run_in_slices(run_slice, inputs, minimum_runs, limit, row_seconds)
    return replace(result, arena_size=arena_size)


def _explained(done: child_process.Done, content: bytes) -> RefusedError:
    text = done.stderr.decode(errors="replace")
    missing = [first or second for first, second in _NO_KERNEL.findall(text)]
    if missing:
        operators = ModelFile(content).operators
        return RefusedError(
            f"{TFLM_NAME} has no kernel for an operator of the model.",
            missing,
            [index for index, operator in enumerate(operators) if operator.name in missing],
        )
    bad = _BAD_NODE.search(text)
    return RefusedError(
        f"{TFLM_NAME} cannot run the model: {child_process.reason(done)}.",
        [bad[1]] if bad else [],
        [int(bad[2])] if bad else [],
    )
