import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# A notebook shows what they write to Python's standard error, which is not the process's.
_LOGGERS = ("absl", "tensorflow")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off the terminal what TensorFlow and LiteRT log, in Python and from C++.

    What matters of it is in the exceptions that they raise.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
