"""Runs a model in a process of its own, which a runtime can bring down.

This file is run as a script, and so that it starts quickly it imports nothing of this package. It
reads a pickled request from stdin and writes a pickled answer to stdout; what the interpreter has
to say goes to stderr.
"""

import os
import pickle
import runpy
import sys


def main() -> None:
    """Answer one request."""
    # Whatever else may print goes to stderr, so that stdout holds the answer alone.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    script, memory_limit, request = pickle.load(sys.stdin.buffer)
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


if __name__ == "__main__":
    main()
