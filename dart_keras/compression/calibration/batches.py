"""Calibration data as batches that a model takes."""

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.inference import infer_checked

BATCH = 32

# Enough to see what a layer's inputs have in common; more only takes longer.
MOST_ROWS = 4096

# Of vectors, which a layer sees once each, while it sees many parts of a picture or a sequence, and
# which take less memory.
_VECTORS_IN_BATCH = 256
MOST_VECTORS = 2**14


def calibration_batches(model: keras.Model, data: Any, most_rows: float | None = None) -> list[Any]:
    """Check calibration data by what the model takes, and cut them into batches.

    Args:
        model: A built model.
        data: Inputs as `model.predict` takes them: an array of shape (rows, *input shape) or, for
            several inputs, a list, tuple or dict of these; or batches of inputs, or of pairs
            (inputs, labels), in a `tf.data.Dataset`, a generator or a `keras.utils.PyDataset`.
        most_rows: How many rows are used at most: of arrays evenly spaced ones, else the first.
            `None` for 16,384 vectors or 4096 rows of other shapes.

    Returns:
        Batches of tensors of at most 256 vectors or 32 other rows, in the structure that was given.
        Those for a model of one batch size have that; rows that do not fill one are left out.

    Raises:
        ValueError: If the data are empty, not finite numbers or not what the model takes.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> [len(batch) for batch in calibration_batches(model, np.zeros((300, 4)))]
        [256, 44]
    """
    batches: list[Any] = []
    vectors = _takes_vectors(model)
    given = 0
    left = most_rows or (MOST_VECTORS if vectors else MOST_ROWS)
    bound = batch_size_of(model)
    size = bound or (_VECTORS_IN_BATCH if vectors else BATCH)
    whole = _is_array(data) or isinstance(data, list | tuple | dict)
    for inputs in _given(data):
        rows = _checked(model, inputs)
        taken = int(min(rows, left))
        kept = np.linspace(0, rows - 1, taken).astype(int) if whole else np.arange(taken)
        given += rows
        if bound is not None:
            kept = kept[: len(kept) // size * size]
        for start in range(0, len(kept), size):
            part = kept[start : start + size]
            batches.append(
                keras.tree.map_structure(
                    lambda x, part=part: ops.convert_to_tensor(_array(x)[part]), inputs
                )
            )
        left -= taken
        if left <= 0:
            break
    if not batches:
        least = "one row" if bound is None else f"{bound} rows at a time"
        raise ValueError(
            f"Expected `calibration_data` of {least} or more. Received: {given or 'none'}"
        )
    infer_checked(model, batches[0])
    return batches


def _given(data: Any) -> Iterator[Any]:
    if _is_array(data) or isinstance(data, list | tuple | dict):
        yield data
    elif isinstance(data, keras.utils.PyDataset):
        yield from (_inputs(data[k]) for k in range(data.num_batches or 0))
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes):
        yield from (_inputs(element) for element in data)
    else:
        raise ValueError(
            "Expected `calibration_data` to be arrays or batches of them. "
            f"Received: calibration_data={data!r}"
        )


def _inputs(element: Any) -> Any:
    # Elements of data sets are inputs, or begin with them.
    return element[0] if isinstance(element, tuple) else element


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "__array__")


def _array(value: Any) -> np.ndarray:
    return np.asarray(value)


def _checked(model: keras.Model, inputs: Any) -> int:
    """Return the number of rows, if the inputs are ones for the model."""
    arrays = [_array(x) for x in keras.tree.flatten(inputs)]
    wanted = keras.tree.flatten(getattr(model, "inputs", None) or [])
    shapes = [array.shape for array in arrays]
    expected = [tuple(tensor.shape) for tensor in wanted]
    # A dict may hold more than the model takes, in another order.
    in_order = wanted and not isinstance(inputs, dict)
    if in_order and not (len(shapes) == len(expected) and all(map(_fits, shapes, expected))):
        raise ValueError(
            f"Expected `calibration_data` of the shapes {expected}. Received: {shapes}"
        )
    if not arrays or any(not shape for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            "Expected `calibration_data` with as many rows for every input. Received arrays of "
            f"the shapes {shapes}"
        )
    for array in arrays:
        _check_values(array)
    return shapes[0][0]


def _check_values(array: np.ndarray) -> None:
    # NumPy does not know bfloat16.
    is_float = "float" in str(array.dtype)
    is_text = array.dtype.kind in "SU" or (
        array.dtype.kind == "O" and all(isinstance(x, str | bytes) for x in array.flat)
    )
    if not (is_float or is_text or array.dtype.kind in "iub"):
        raise ValueError(
            "Expected `calibration_data` of real numbers, or of strings. Received: an array of "
            f"{array.dtype} of shape {array.shape}"
        )
    if is_float and not np.all(np.isfinite(array.astype(np.float64))):
        raise ValueError(
            "Expected finite `calibration_data`. Received: NaN or infinite values in an array of "
            f"shape {array.shape}"
        )


def batch_size_of(model: keras.Model) -> int | None:
    """Return the number of rows that a model is bound to, `None` if it takes any."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return next((tensor.shape[0] for tensor in inputs if tensor.shape[0] is not None), None)


def _takes_vectors(model: keras.Model) -> bool:
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return bool(inputs) and all(
        len(tensor.shape) == 2 and keras.backend.is_float_dtype(tensor.dtype) for tensor in inputs
    )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        size in (None, given) for given, size in zip(shape[1:], expected[1:], strict=True)
    )
