"""Runs a model in a process of its own, which a runtime can bring down.

This file is run as a script, and so that it starts quickly it imports nothing of this package. It
reads a pickled request from stdin and writes a pickled answer to stdout; what the interpreter has
to say goes to stderr. It ends as soon as stdin does, which the process that asks holds open: so it
also ends with one that is killed.
"""

import os
import pickle
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO


def main() -> None:
    """Answer one request, unless the process that asks ends before."""
    # Whatever else may print goes to stderr, so that stdout holds the answer alone.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    # Ctrl-C is for the process that asks.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    script, memory_limit, request = pickle.load(sys.stdin.buffer)
    if hasattr(os, "fork"):
        # An interpreter may hold Python's lock while it runs, and no thread of its process would
        # then see the end of stdin.
        child = os.fork()
        if child:
            _supervise(child)
        os.setpgid(0, 0)
    else:
        _at_end_of_input(partial(os._exit, 1))
    reply(script, memory_limit, request, answer)
    # Not through Python's own end, which would wait for the thread.
    os._exit(0)


def reply(script: str, memory_limit: int | None, request: dict[str, Any], answer: BinaryIO) -> None:
    """Write what a script's function `answer` makes of a request.

    Args:
        script: The path of the script.
        memory_limit: The most bytes that this process may take; None for any.
        request: The arguments.
        answer: Where to write.

    Raises:
        SystemExit: If the function fails, with the reason.
    """
    # Windows has no such limits.
    if memory_limit is not None and os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (memory_limit, memory_limit))
    try:
        found = runpy.run_path(script)["answer"](**request)
    except (RuntimeError, ValueError) as error:
        sys.exit(str(error))
    except Exception as error:
        # What a damaged file may lead to is of any type.
        sys.exit(f"{type(error).__name__}: {error}")
    with answer:
        pickle.dump(found, answer)


def _supervise(child: int) -> None:
    """End as the child does, or with it when stdin ends."""
    with suppress(OSError):
        # The child does the same; whoever comes first. What it forks itself ends with the group.
        os.setpgid(child, child)

    def end() -> None:
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)

    _at_end_of_input(end)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code < 0:
        os.write(2, f"\nits process ended with signal {-code}".encode())
    os._exit(abs(code))


def _at_end_of_input(end: Callable[[], None]) -> None:
    def wait() -> None:
        # Nothing more is written to it.
        os.read(0, 1)
        end()

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main()
