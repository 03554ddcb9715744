import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

# A notebook shows what they write to Python's standard error, which is not the process's.
_LOGGERS = ("absl", "tensorflow")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off the terminal what TensorFlow and LiteRT log, in Python and from C++.

    What matters of it is in the exceptions that they raise. All threads share one standard error:
    it is hidden as long as one of them is in here.
    """
    _silence.enter()
    try:
        yield
    finally:
        _silence.leave()


class _Silence:
    """The silence of the process, which begins with the first thread and ends with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads = 0
        self._end = ExitStack()

    def enter(self) -> None:
        with self._lock:
            if self._threads == 0:
                with ExitStack() as begun:
                    _hide_standard_error(begun)
                    _hide_warnings(begun)
                    self._end = begun.pop_all()
            self._threads += 1

    def leave(self) -> None:
        with self._lock:
            self._threads -= 1
            if self._threads == 0:
                self._end.close()


_silence = _Silence()


def _hide_standard_error(end: ExitStack) -> None:
    # There may be none: in a service, or in a program without a console.
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()
    try:
        stderr = os.dup(2)
    except OSError:
        # Else a file that is opened meanwhile would get its number, and be written into.
        end.callback(os.close, 2)
    else:
        end.callback(os.close, stderr)
        end.callback(os.dup2, stderr, 2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    # Where there was none, it may have got the number itself.
    if nowhere != 2:
        os.dup2(nowhere, 2)
        os.close(nowhere)


def _hide_warnings(end: ExitStack) -> None:
    end.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    for logger in map(logging.getLogger, _LOGGERS):
        end.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
