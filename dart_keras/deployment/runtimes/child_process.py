import pickle
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from dart_keras.deployment.runtimes.time_limit import TimeLimit

_FOLDER = Path(__file__).parent
# Bytes that a damaged file may take: many times what a board's models do, and little of what a
# computer has. The weights may be held several times over.
_MEMORY = 2**29
_COPIES = 8

Done = subprocess.CompletedProcess[bytes]


def ask(worker: str, request: dict[str, Any], limit: TimeLimit) -> Done:
    """Have a runtime's worker answer a request in a process of its own.

    Args:
        worker: The name of a file of this folder, whose function `answer` takes the request.
        request: The arguments.
        limit: The most seconds that it may take. For a file that may be damaged, its memory is
            limited, too.

    Returns:
        The process, which has ended: the answer pickled in stdout, or an exit code that is not
        zero and what went wrong in stderr.

    Raises:
        RefusedError: If it takes longer.
    """
    # -P: this folder has modules whose names could hide others.
    command = [sys.executable, "-P", str(_FOLDER / "worker.py")]
    memory = _MEMORY + _COPIES * len(request["content"]) if limit.damaged else None
    given = pickle.dumps((str(_FOLDER / worker), memory, request))
    try:
        return run_process(command, given, limit.left)
    except subprocess.TimeoutExpired as error:
        raise limit.error() from error


def run_process(command: list[str], given: bytes, seconds: float) -> Done:
    """Run a command whose stdin stays open until it has ended, or its time is over.

    Args:
        command: A command that ends soon after its stdin does.
        given: What to write to its stdin.
        seconds: The most that it may take.

    Raises:
        subprocess.TimeoutExpired: If it takes longer; it is then ended.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
    # Not left to `communicate`, which would close it.
    stdin, process.stdin = process.stdin, None
    assert stdin is not None
    try:
        # A process that cannot start does not read.
        with suppress(BrokenPipeError):
            stdin.write(given)
            stdin.flush()
        stdout, stderr = process.communicate(timeout=seconds)
    finally:
        with suppress(BrokenPipeError):
            stdin.close()
        process.wait()
    return Done(command, process.returncode, stdout, stderr)


def reason(done: Done) -> str:
    """Return what a worker that failed had to say, in one line."""
    text = done.stderr.decode(errors="replace")
    # LiteRT greets with lines that begin with INFO.
    lines = [line.strip(" .") for line in text.splitlines() if not line.startswith("INFO")]
    return "; ".join(line for line in lines if line)
