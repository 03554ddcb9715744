"""The forms that data may have."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data.specs import InputSpec, identifier


def is_whole(data: Any, specs: Sequence[InputSpec] | None) -> bool:
    """Return whether data are arrays of all rows, not something that yields batches or rows."""
    if is_array(data) or isinstance(data, tuple | dict):
        return True
    if not isinstance(data, list) or not data or isinstance(data[0], tuple | dict):
        return False
    if specs is None:
        return True
    if len(specs) > 1:
        # Two arrays for two inputs are the inputs, nested or not; two lists of arrays are batches.
        leaves = keras.tree.flatten(data)
        is_nested = len(leaves) == len(specs) and all(map(is_array, leaves))
        return is_nested or not isinstance(data[0], list)
    if not is_array(data[0]):
        return True
    return len(data) == 1 and len(data[0].shape) > len(specs[0].shape)


def items_of(data: Any, name: str) -> Iterator[Any]:
    """Yield the batches or rows of data that are no arrays."""
    if isinstance(data, keras.utils.PyDataset):
        yield from (data[k] for k in range(data.num_batches or 0))
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        yield from data
    else:
        raise ValueError(
            f"Expected `{name}` to be an array, a list, tuple or dict of arrays, or an iterable of "
            f"batches or rows. Received: {name}={data!r}"
        )


def elements_of(data: Any, specs: Sequence[InputSpec] | None, name: str) -> Iterator[Any]:
    """Yield the batches or rows of data, or all rows at once.

    Args:
        data: Data in any form.
        specs: The model's inputs; `None` where they are not known.
        name: What the caller calls `data`, for the errors.
    """
    if not is_whole(data, specs):
        yield from items_of(data, name)
    elif isinstance(data, list) and specs is not None:
        # Rows of numbers, where they are not arrays for the inputs.
        yield tuple(data) if len(specs) > 1 or is_array(data[0]) else np.asarray(data)
    else:
        yield data


def values_of(element: Any, specs: Sequence[InputSpec], structure: Any, name: str) -> list[Any]:
    """Return what an element holds for each input, without labels.

    Args:
        element: One of `elements_of`.
        specs: The model's inputs.
        structure: How the model takes them, as for `read_blocks`.
        name: What the caller calls the data, for the errors.

    Raises:
        ValueError: If the element does not hold as much.
    """
    if isinstance(element, dict):
        return _by_key(element, specs, structure, name)
    if isinstance(element, tuple | list):
        leaves = keras.tree.flatten(element)
        if len(leaves) == len(specs) and all(map(is_array, leaves)):
            return leaves
        if len(element) in (2, 3) and isinstance(element[0], tuple | list | dict):
            return values_of(element[0], specs, structure, name)
        if len(specs) == 1:
            is_labelled = isinstance(element, tuple) and 1 <= len(element) <= 3
            return [element[0] if is_labelled else np.asarray(element)]
        if len(element) in (len(specs), len(specs) + 1):
            return list(element[: len(specs)])
    elif len(specs) == 1:
        return [element]
    raise ValueError(
        f"Expected `{name}` to hold one array for each of the model's {len(specs)} inputs, as a "
        f"tuple or as a dict. Received: {described(element)}"
    )


def _by_key(
    element: dict[Any, Any], specs: Sequence[InputSpec], structure: Any, name: str
) -> list[Any]:
    if isinstance(structure, dict) and set(structure) <= set(element):
        values = keras.tree.flatten({key: element[key] for key in structure})
        if len(values) == len(specs):
            return values
    by_name = {identifier(str(key)): value for key, value in element.items()}
    wanted = [spec.name for spec in specs]
    if not {identifier(each) for each in wanted} <= set(by_name):
        raise ValueError(
            f"Expected `{name}` to hold an array for each of the inputs {wanted}. Received: "
            f"the keys {sorted(map(str, element))}"
        )
    return [by_name[identifier(each)] for each in wanted]


def is_array(value: Any) -> bool:
    """Return whether a value is an array or tensor of any library."""
    return hasattr(value, "shape") and hasattr(value, "__array__")


def described(element: Any) -> str:
    """Return the type of an element, and its length if it has one, for errors."""
    if is_array(element):
        shape = tuple(element.shape)
    else:
        shape = (len(element),) if hasattr(element, "__len__") else ()
    return type(element).__name__ + (f" of length {shape[0]}" if shape else "")
