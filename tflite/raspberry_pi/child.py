"""Has a file run by `worker.py`, and says what became of it."""

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

_IDENTIFIER = b"TFL3"
# Bytes that the interpreter may take: many times what a board's models do. The weights may be held
# several times over.
_MEMORY = 2**29
_COPIES = 8

# A forked child has NumPy and LiteRT imported when it starts, which else takes longer than most
# models do. No interpreter is ever made in the process that it is forked from.
_QUICKLY = multiprocessing.get_context("fork")
# What is measured must not profit from that.
_AFRESH = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Child:
    """How to run a file.

    Attributes:
        model: The path of the `.tflite` file.
        threads: How many threads the interpreter may use.
        timeout: The most seconds that it may take.
    """

    model: Path
    threads: int
    timeout: float

    def run(
        self, inputs: dict[str, np.ndarray], as_in_file: bool = False
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Runs the file row by row.

        Args:
            inputs: Arrays of shape (rows, *input shape) by the names of the inputs.
            as_in_file: Whether inputs and outputs are in the file's own dtypes, quantized
                integers if it takes them, and not in real values.

        Returns:
            The outputs by name, and the answer: `seconds` of each row and what the `outputs` are.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "inputs.npz", **inputs)
            answer = self._ask(_QUICKLY, folder, task="run", xnnpack=True, as_in_file=as_in_file)
            with np.load(folder / "outputs.npz", allow_pickle=False) as file:
                return dict(file), answer

    def benchmark(self, rows: int, xnnpack: bool) -> dict[str, Any]:
        """Times inferences of random rows.

        Args:
            rows: How many inferences.
            xnnpack: Whether XNNPACK may run what it can of the file.

        Returns:
            Seconds to `load` the file, of the `first` inference, of those after a warm-up
            (`seconds`), and `peak_memory_bytes`.
        """
        with tempfile.TemporaryDirectory() as name:
            return self._ask(_AFRESH, Path(name), task="benchmark", xnnpack=xnnpack, rows=rows)

    def _ask(self, context: Any, folder: Path, **request: Any) -> dict[str, Any]:
        _check_file(self.model)
        request |= {
            "model": str(self.model),
            "threads": self.threads,
            "memory_limit": _memory_limit(self.model),
        }
        (folder / "request.json").write_text(json.dumps(request))
        try:
            # Only here, so that its absence can be told.
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
                f"Expected the interpreter to be done with {self.model} in {self.timeout:g} "
                "seconds. Received: no answer"
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
            f"Expected a .tflite file, with {_IDENTIFIER.decode()} in its bytes 4 to 7. "
            f"Received: {path}, which begins with {start!r}"
        )


def _memory_limit(path: Path) -> int:
    # A board that swaps does nothing else.
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
    # LiteRT greets with lines that begin with INFO.
    said = [line.strip() for line in lines if line.strip() and not line.startswith("INFO")]
    return f": {said[-1]}" if said else ""
