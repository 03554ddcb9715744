"""Batches of inputs with their targets."""

from collections.abc import Iterator
from typing import Any

import keras

from dart_keras.calibration_data.forms import described, is_array, items_of


def has_targets(data: Any, inputs: int) -> bool:
    """Return whether data yield batches as pairs of inputs and targets.

    Args:
        data: Data that can be gone through again and again.
        inputs: How many inputs the model has.
    """
    if is_array(data) or isinstance(data, dict):
        return False
    first = data if _is_one_pair(data) else next(items_of(data, "calibration_data"), None)
    if not isinstance(first, tuple | list) or len(first) != 2:
        return False
    # Two arrays for two inputs are the inputs.
    is_nested = isinstance(first[0], tuple | list | dict)
    return (inputs == 1 or is_nested) and all(map(is_array, keras.tree.flatten(first)))


def labelled_batches(data: Any, name: str = "calibration_data") -> Iterator[tuple[Any, Any]]:
    """Yield batches as pairs of inputs and targets.

    Args:
        data: A list, a `tf.data.Dataset` or anything else that yields pairs, or one pair of arrays.
        name: What the caller calls `data`, for the errors.

    Yields:
        Inputs and targets, as they were given.

    Raises:
        ValueError: If a batch is no pair.
    """
    alone = is_array(data) or isinstance(data, dict) or _is_one_pair(data)
    for batch in [data] if alone else items_of(data, name):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError(
                f"Expected batches of `{name}` to be pairs of inputs and targets. "
                f"Received: {described(batch)}"
            )
        yield batch[0], batch[1]


def _is_one_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and is_array(data[0])
