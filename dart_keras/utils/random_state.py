"""Keeping what others draw from the global random generators."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def keeping_random_state() -> Iterator[None]:
    """Leave Python's and NumPy's global generators as they were before the block.

    Keras seeds the initializers of all layers that are made, those of copies too, from Python's
    generator. Without this, what a user draws later would depend on how many layers were made.

    Example:
        >>> random.seed(3)
        >>> with keeping_random_state():
        ...     first = random.random()
        >>> random.random() == first
        True
    """
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
