"""Frozen random matrices, which are drawn from a seed again instead of being saved."""

import math
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from keras import ops

from dart_keras.adapters.method import MethodWithRank
from dart_keras.utils.argument_checks import is_integer

# Tensors in use, so that equal layers share their memory.
_IN_USE: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()


@dataclass(frozen=True, kw_only=True)
class SeededMethod(MethodWithRank):
    """Base of the methods with frozen random matrices.

    Attributes:
        rank: Rank of every layer's adapter.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        seed: Of the frozen matrices. Files of adapters hold it instead of them.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_integer(self.seed) or self.seed < 0:
            raise ValueError(
                f"Expected `seed` of `{type(self).__name__}` to be an integer of at least 0. "
                f"Received: seed={self.seed!r}"
            )


def seeded_rows(seed: int, name: str, rows: int, columns: int) -> Any:
    """Return a frozen random matrix with elements of mean 0 and variance 1.

    Each row has random numbers of its own, so a smaller matrix of the same seed and name is the
    leading part of a larger one. Layers of any sizes share one matrix in this way, and none depends
    on which others there are. The numbers are the same on all machines and versions of NumPy.

    Args:
        seed: The seed, not negative.
        name: Name of the matrix. Those of different names are independent.
        rows: Number of rows.
        columns: Number of columns.

    Returns:
        Tensor of float32. Callers with the same arguments get the same tensor.

    Example:
        >>> import numpy as np
        >>> small, large = seeded_rows(3, "A", 2, 4), seeded_rows(3, "A", 5, 9)
        >>> bool(np.all(np.array(small) == np.array(large)[:2, :4]))
        True
    """
    return _matrix(seed, name, rows, columns, False)


def seeded_columns(seed: int, name: str, rows: int, columns: int) -> Any:
    """Return the transpose of `seeded_rows`: each column has random numbers of its own.

    Args:
        seed: The seed, not negative.
        name: Name of the matrix.
        rows: Number of rows.
        columns: Number of columns.
    """
    return _matrix(seed, name, columns, rows, True)


def _matrix(seed: int, name: str, count: int, length: int, transposed: bool) -> Any:
    key = (seed, name, count, length, transposed)
    tensor = _IN_USE.get(key)
    if tensor is None:
        drawn = _drawn(seed, name, count, length)
        tensor = ops.convert_to_tensor(np.ascontiguousarray(drawn.T) if transposed else drawn)
        _IN_USE[key] = tensor
    return tensor


def _drawn(seed: int, name: str, count: int, length: int) -> np.ndarray:
    key = np.random.SeedSequence([seed, *name.encode()]).generate_state(2, np.uint64)
    drawn = np.empty((count, length), np.float32)
    for index in range(count):
        # NumPy may change its distributions in a new version, but not these bits.
        bits = np.random.Philox(key=key, counter=[0, 0, 0, index]).random_raw(length) >> 40
        drawn[index] = math.sqrt(3) * ((bits + 0.5) / 2**23 - 1)
    return drawn
