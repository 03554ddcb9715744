"""Run a file in a child process (`worker.py`), and report how the process ended."""

import json
import multiprocessing
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from errors import RefusedError
from manifest import check_manifest

_IDENTIFIER = b"TFL3"
# Memory limit of the interpreter in bytes: far more than models for a board need. It may hold
# several copies of the weights.
_MEMORY = 2**29
_COPIES = 8

# A forked child starts with NumPy and LiteRT imported. Importing them takes longer than most models
# run. The parent process never creates an interpreter.
_FORK = multiprocessing.get_context("fork")
# Measurements use a new process, without the parent's imports.
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Child:
    """A child process that runs a file.

    Attributes:
        model: Path of the `.tflite` file.
        threads: Number of threads of the interpreter.
        timeout: Time limit of the interpreter in seconds.
    """

    model: Path
    threads: int
    timeout: float

    def run(
        self, inputs: dict[str, np.ndarray], as_in_file: bool = False
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Run the file row by row.

        Args:
            inputs: Arrays of shape (rows, *input shape) by input name.
            as_in_file: Whether inputs and outputs have the file's own dtypes, quantized integers
                included, rather than real values.

        Returns:
            The outputs by name, and the answer: the `seconds` of each row and the `outputs`.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "inputs.npz", **inputs)
            answer = self._ask(_FORK, folder, task="run", xnnpack=True, as_in_file=as_in_file)
            with np.load(folder / "outputs.npz", allow_pickle=False) as file:
                return dict(file), answer

    def benchmark(self, inputs: dict[str, np.ndarray], rows: int, xnnpack: bool) -> dict[str, Any]:
        """Time inferences.

        Args:
            inputs: Recorded rows in the file's own dtypes by input name; none for random ones.
            rows: Number of inferences.
            xnnpack: Whether to use XNNPACK.

        Returns:
            The seconds to `load` the file, of the `first` inference and of those after the warm-up
            (`seconds`), and `peak_memory_bytes`.
        """
        with tempfile.TemporaryDirectory() as name:
            np.savez(Path(name) / "inputs.npz", **inputs)
            return self._ask(_SPAWN, Path(name), task="benchmark", xnnpack=xnnpack, rows=rows)

    def _ask(self, context: Any, folder: Path, **request: Any) -> dict[str, Any]:
        _check_file(self.model)
        request |= {
            "model": str(self.model),
            "threads": self.threads,
            "memory_limit": _memory_limit(self.model),
        }
        (folder / "request.json").write_text(json.dumps(request))
        try:
            # Imported here, so that a missing ai-edge-litert gives a clear error.
            import worker
        except ImportError as error:
            raise RefusedError(f"Expected the package ai-edge-litert. Received: {error}") from error
        process = context.Process(target=worker.answer, args=(folder,))
        process.start()
        process.join(self.timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise RefusedError(
                f"Expected the interpreter to finish {self.model} within {self.timeout:g} "
                "seconds. Received: no answer. A larger --timeout gives it more time"
            )
        answer = folder / "answer.json"
        if process.exitcode or not answer.exists():
            raise RefusedError(
                f"Expected the interpreter to run {self.model}. "
                f"Received: it ended with {_end(process.exitcode)}{_last_line(folder / 'log.txt')}"
            )
        found: dict[str, Any] = json.loads(answer.read_text())
        if "refusal" in found:
            raise RefusedError(found["refusal"])
        return found


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
    if start[4:] != _IDENTIFIER:
        raise RefusedError(
            f"Expected a .tflite file, with {_IDENTIFIER.decode()} in bytes 4 to 7. "
            f"Received: {path}, which starts with {start!r}"
        )
    check_manifest(path)


def _memory_limit(path: Path) -> int:
    # At most half of the memory, so that the board does not swap.
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return min(half, _MEMORY + _COPIES * path.stat().st_size)


def _end(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    # Skip LiteRT's INFO lines.
    messages = [line.strip() for line in lines if line.strip() and not line.startswith("INFO")]
    return f": {messages[-1]}" if messages else ""
