import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off the terminal what TensorFlow and LiteRT log, in Python and from C++.

    What matters of it is in the exceptions that they raise.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logger.setLevel(logging.ERROR)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        logger.setLevel(level)
