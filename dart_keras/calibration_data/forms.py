"""The forms that data may have."""

import inspect
import itertools
from collections.abc import Iterable, Iterator, Sequence, Sized
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
    if isinstance(data[0], list) and data[0] and is_array(data[0][0]):
        # Rows that are lists of arrays; else batches, such as those of torch's loader.
        return len(data[0][0].shape) < len(specs[0].shape)
    if not is_array(data[0]):
        return True
    return len(data) == 1 and len(data[0].shape) > len(specs[0].shape)


def has_length(data: Any) -> bool:
    """Return whether data tell how many batches or rows they have, and so that they end."""
    if isinstance(data, keras.utils.PyDataset):
        return data.num_batches is not None
    try:
        # A `tf.data.Dataset` without end, or of unknown length, raises; so does torch's loader.
        return isinstance(data, Sized) and len(data) >= 0
    except TypeError:
        return False


def made(data: Any) -> Any:
    """Return what a function without arguments returns, such as a generator; else the data."""
    if not callable(data) or isinstance(data, type | keras.Layer):
        return data
    try:
        inspect.signature(data).bind()
    except (TypeError, ValueError):
        return data
    return data()


def items_of(data: Any, name: str) -> Iterator[Any]:
    """Yield the batches or rows of data that are no arrays."""
    data = made(data)
    if isinstance(data, keras.utils.PyDataset):
        known = data.num_batches
        yield from (data[k] for k in (itertools.count() if known is None else range(known)))
        return
    if not isinstance(data, str | bytes):
        if isinstance(data, Iterable):
            yield from data
            return
        # One of torch's data sets.
        if isinstance(data, Sized) and hasattr(data, "__getitem__"):
            yield from (data[k] for k in range(len(data)))
            return
    raise ValueError(
        f"Expected `{name}` to be an array, a list, tuple or dict of arrays, an iterable of "
        "batches or rows, or a function without arguments that returns one of these. "
        f"Received: {name}={data!r}"
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
        yield tuple(data) if len(specs) > 1 or is_array(data[0]) else _stacked(data)
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
        if len(element) in (2, 3) and _is_structure(element[0]) and not _is_batch(element, specs):
            return values_of(element[0], specs, structure, name)
        if len(specs) == 1:
            return [element[0] if _has_label(element, specs[0]) else _stacked(element)]
        if len(element) in (len(specs), len(specs) + 1):
            return list(element[: len(specs)])
    elif len(specs) == 1:
        return [element]
    raise ValueError(
        f"Expected `{name}` to hold one array for each of the model's {len(specs)} inputs, as a "
        f"tuple or as a dict. Received: {described(element)}"
    )


def _is_structure(value: Any) -> bool:
    """Return whether a value holds arrays, and is none."""
    if isinstance(value, tuple | list):
        return all(map(is_array, keras.tree.flatten(value)))
    return isinstance(value, dict)


def _is_batch(element: Any, specs: Sequence[InputSpec]) -> bool:
    """Return whether a list holds rows that are lists of arrays."""
    first = element[0]
    if not isinstance(element, list) or not isinstance(first, list) or len(specs) > 1:
        return False
    return not first or len(first[0].shape) < len(specs[0].shape)


def _has_label(element: Any, spec: InputSpec) -> bool:
    """Return whether a sequence holds inputs and labels, and not the numbers or rows themselves."""
    if len(element) not in (1, 2, 3):
        return False
    axes, wanted = np.ndim(element[0]), len(spec.shape)
    if isinstance(element, tuple):
        return axes > 0 or wanted == 0
    # Torch's loader has lists where others have tuples.
    if not is_array(element[0]) or axes not in (wanted, wanted + 1):
        return False
    return axes > wanted or np.shape(element[-1]) != np.shape(element[0])


def _stacked(rows: Any) -> np.ndarray:
    try:
        return np.asarray(rows)
    except ValueError as error:
        raise ValueError(
            f"Expected rows of one shape. Received: {described(rows)}, of which NumPy says: {error}"
        ) from error


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
