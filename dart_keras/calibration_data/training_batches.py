"""Batches of the data that `fit` trains on."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data.forms import items_of

Batch = tuple[Any, Any]


def training_batches(
    x: Any, y: Any, batch_size: int | None, count: int, rng: np.random.Generator
) -> list[Batch] | None:
    """Return some batches of what `fit` was given, without taking any away from it.

    Args:
        x: Its argument `x`: arrays, or anything that yields batches.
        y: Its argument `y`, `None` where `x` yields pairs.
        batch_size: The size of its batches; for arrays.
        count: How many batches; there may be fewer.
        rng: Draws rows of arrays, and places in a `PyDataset`.

    Returns:
        Pairs of inputs and targets. `None` where that is impossible: data that can be gone through
        only once, batches without targets, or sparse and ragged tensors.

    Example:
        >>> x, y = np.zeros((100, 3)), np.zeros(100)
        >>> batches = training_batches(x, y, 8, 2, np.random.default_rng(0))
        >>> [(inputs.shape, targets.shape) for inputs, targets in batches]
        [((8, 3), (8,)), ((8, 3), (8,))]
    """
    if y is not None:
        if not all(map(_has_rows, keras.tree.flatten((x, y)))):
            return None
        rows = len(keras.tree.flatten(y)[0])
        size = min(batch_size or 32, rows)
        places = (np.sort(rng.choice(rows, size, replace=False)) for _ in range(count))
        return [(_take(x, at), _take(y, at)) for at in places]
    if isinstance(x, Iterator):
        return None
    items: Iterator[Any]
    if isinstance(x, keras.utils.PyDataset):
        known = x.num_batches
        order = range(count) if known is None else rng.permutation(known)[:count]
        items = (x[int(k)] for k in order)
    else:
        items = itertools.islice(items_of(x, "x"), count)
    batches = [tuple(item[:2]) if isinstance(item, tuple | list) else () for item in items]
    return batches if batches and all(len(batch) == 2 for batch in batches) else None


def _has_rows(array: Any) -> bool:
    return hasattr(array, "__array__") or hasattr(array, "tocsr")


def _take(arrays: Any, places: np.ndarray) -> Any:
    def of(array: Any) -> Any:
        if hasattr(array, "iloc"):
            return np.asarray(array.iloc[places])
        if hasattr(array, "tocsr"):
            # Of SciPy's sparse matrices only this one has rows to take; a batch may be dense.
            return array.tocsr()[places].toarray()
        return (
            keras.ops.take(array, places, axis=0)
            if keras.ops.is_tensor(array)
            else np.asarray(array)[places]
        )

    return keras.tree.map_structure(of, arrays)
