"""Runs the runtimes' worker for many requests, each in a process forked from this one.

Here NumPy and the runtimes are imported already, which takes most of a worker's time. Reads lines
with the most seconds and the path of a pickled request, and prints the exit code of each, a
signal's as negative.
"""

import importlib
import os
import pickle
import runpy
import signal
import sys


def main(path: str) -> None:
    worker = runpy.run_path(path)
    for module in ("numpy", "ai_edge_litert.interpreter", "tflite_micro"):
        importlib.import_module(module)

    for line in sys.stdin:
        seconds, request = line.strip().split(" ", 1)
        child = os.fork()
        if child == 0:
            status = 1
            # Ends the process.
            signal.alarm(int(seconds))
            try:
                writing = os.O_WRONLY | os.O_CREAT
                os.dup2(os.open(request, os.O_RDONLY), 0)
                os.dup2(os.open(f"{request}.out", writing), 1)
                os.dup2(os.open(f"{request}.err", writing), 2)
                with os.fdopen(os.dup(1), "wb") as answer:
                    os.dup2(2, 1)
                    worker["reply"](*pickle.load(os.fdopen(0, "rb")), answer)
                status = 0
            except SystemExit as end:
                os.write(2, str(end.code).encode())
            finally:
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
