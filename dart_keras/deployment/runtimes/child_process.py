import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from dart_keras.deployment.runtimes.result import RefusedError

_FOLDER = Path(__file__).parent
# Bytes that a damaged file may take: many times what a board's models do, and little of what a
# computer has. The weights may be held several times over.
_MEMORY = 2**29
_COPIES = 8


def ask(
    worker: str, request: dict[str, Any], seconds: float | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Have a runtime's worker answer a request in a process of its own.

    Args:
        worker: The name of a file of this folder, whose function `answer` takes the request.
        request: The arguments.
        seconds: The most that it may take, for a file that may be damaged. Its memory is then
            limited, too.

    Returns:
        The process, which has ended: the answer pickled in stdout, or an exit code that is not
        zero and what went wrong in stderr.

    Raises:
        RefusedError: If it takes longer.
    """
    # -P: this folder has modules whose names could hide others.
    command = [sys.executable, "-P", str(_FOLDER / "worker.py")]
    limit = None if seconds is None else _MEMORY + _COPIES * len(request["content"])
    given = pickle.dumps((str(_FOLDER / worker), limit, request))
    try:
        return subprocess.run(
            command, input=given, capture_output=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise RefusedError(
            f"Expected the interpreter to be done in {seconds:g} seconds. Received: no answer.",
            [],
            [],
        ) from error


def reason(done: "subprocess.CompletedProcess[bytes]") -> str:
    """Return what a worker that failed had to say, in one line."""
    text = done.stderr.decode(errors="replace")
    # LiteRT greets with lines that begin with INFO.
    lines = [line.strip(" .") for line in text.splitlines() if not line.startswith("INFO")]
    said = "; ".join(line for line in lines if line)
    if done.returncode < 0:
        return f"its process ended with signal {-done.returncode}; {said}".rstrip("; ")
    return said
