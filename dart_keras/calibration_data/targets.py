"""Batches of inputs with their targets."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data.forms import described, has_length, is_array, items_of, made
from dart_keras.calibration_data.row_blocks import together, until_end
from dart_keras.calibration_data.specs import InputSpec

# Single rows make batches of so many.
_BATCH = 32


def has_targets(data: Any, inputs: int) -> bool:
    """Return whether data yield batches as pairs of inputs and targets.

    Args:
        data: Data that can be gone through again and again.
        inputs: How many inputs the model has.
    """
    data = made(data)
    if is_array(data) or isinstance(data, dict):
        return False
    first = data if _is_one_pair(data) else next(items_of(data, "calibration_data"), None)
    if not isinstance(first, tuple | list) or len(first) != 2:
        return False
    # Two arrays for two inputs are the inputs.
    is_nested = isinstance(first[0], tuple | list | dict)
    # A single row may have a number as its target.
    values = [*keras.tree.flatten(first[0]), *(() if np.isscalar(first[1]) else first[1:])]
    return (inputs == 1 or is_nested) and all(map(is_array, keras.tree.flatten(values)))


def labelled_batches(
    data: Any, specs: Sequence[InputSpec] | None = None, name: str = "calibration_data"
) -> Iterator[tuple[Any, Any]]:
    """Yield batches as pairs of inputs and targets.

    Args:
        data: A list, a `tf.data.Dataset` or anything else that yields pairs, of batches or of
            single rows, a function that returns one of these, or one pair of arrays.
        specs: The model's inputs, which tell single rows from batches; `None` if they are not
            known: then there are no single rows.
        name: What the caller calls `data`, for the errors.

    Yields:
        Inputs and targets: batches as they were given, single rows in batches of 32. Of data that
        do not tell that they end, no more than 65,536 rows.

    Raises:
        ValueError: If a batch is no pair.
    """
    data = made(data)
    if is_array(data) or isinstance(data, dict) or _is_one_pair(data):
        yield _pair(data, name)
        return
    pairs: Iterator[Any] = (_pair(item, name) for item in items_of(data, name))
    first = next(pairs, None)
    if first is None:
        return
    pairs = itertools.chain([first], pairs)
    is_row = specs is not None and _is_row(first[0], specs)
    if is_row:
        pairs = (tuple(map(_batch_of_one, pair)) for pair in pairs)
    if not has_length(data):
        pairs = until_end(pairs, name)
    yield from together(pairs, _BATCH) if is_row else pairs


def _pair(batch: Any, name: str) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        raise ValueError(
            f"Expected batches of `{name}` to be pairs of inputs and targets. "
            f"Received: {described(batch)}"
        )
    return batch[0], batch[1]


def _is_row(inputs: Any, specs: Sequence[InputSpec]) -> bool:
    flat = [inputs] if len(specs) == 1 else keras.tree.flatten(inputs)
    axes = [np.ndim(value) for value in flat]
    return axes == [len(spec.shape) for spec in specs]


def _batch_of_one(row: Any) -> Any:
    if not is_array(row) and all(map(is_array, keras.tree.flatten(row))):
        return keras.tree.map_structure(_batch_of_one, row)
    return np.asarray(row)[None]


def _is_one_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and is_array(data[0])
