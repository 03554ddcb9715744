"""Checks of the arrays that hold rows."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data.specs import InputSpec


def checked_input(value: Any, spec: InputSpec, name: str) -> np.ndarray:
    """Return the array of one row or of rows, if it is one for the input."""
    array = np.asarray(value)
    where = f"`{name}` for input {spec.name!r}"
    _check_kind(array, where, allows_text=spec.dtype is None)
    row = array.shape if array.ndim == len(spec.shape) else array.shape[1:]
    if array.ndim - len(spec.shape) not in (0, 1) or not _fits(row, spec.shape):
        expected = ", ".join(["rows", *map(str, spec.shape)])
        raise ValueError(
            f"Expected {where} to have shape ({expected}), or {spec.shape} for one row. Received: "
            f"shape {np.shape(value)}"
        )
    _check_finite(array, where)
    if spec.dtype == "int32":
        limits = np.iinfo("int32")
        whole = array.dtype.kind in "iub" or bool((array == np.floor(array)).all())
        if not whole or (array.size and (array.min() < limits.min or array.max() > limits.max)):
            raise ValueError(
                f"Expected {where} to hold integers of 32 bits. Received: values of dtype "
                f"{array.dtype} from {array.min()} to {array.max()}"
            )
    return array if spec.dtype is None else array.astype(spec.dtype)


def checked_structure(inputs: Any, name: str) -> Any:
    """Return the arrays of some rows in their structure, if they can be inputs of a model."""
    arrays = keras.tree.map_structure(np.asarray, inputs)
    flat = keras.tree.flatten(arrays)
    for array in flat:
        _check_kind(array, f"`{name}`", allows_text=True)
        _check_finite(array, f"`{name}`")
    if not flat or any(array.ndim == 0 for array in flat):
        raise ValueError(
            f"Expected `{name}` to hold batches of rows. Received: arrays of the shapes "
            f"{[array.shape for array in flat]}"
        )
    check_counts(list(range(len(flat))), flat, name)
    return arrays


def check_counts(names: Sequence[Any], arrays: Sequence[np.ndarray], name: str) -> None:
    """Check that arrays have as many rows as each other."""
    counts = dict(zip(names, map(len, arrays), strict=True))
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"Expected the same number of rows for every input in `{name}`. Received: {counts}"
        )


def _check_kind(array: np.ndarray, where: str, allows_text: bool) -> None:
    kind = array.dtype.kind
    is_text = kind in "SU" or (
        kind == "O" and all(isinstance(each, str | bytes) for each in array.flat)
    )
    # NumPy does not know bfloat16.
    if not (kind in "fiub" or "float" in str(array.dtype) or (allows_text and is_text)):
        raise ValueError(
            f"Expected {where} to hold numbers{' or strings' if allows_text else ''}. Received: "
            f"dtype {array.dtype}"
        )


def _check_finite(array: np.ndarray, where: str) -> None:
    if "float" not in str(array.dtype):
        return
    finite = np.isfinite(array if array.dtype.kind == "f" else array.astype(np.float64))
    if not finite.all():
        raise ValueError(
            f"Expected {where} to be finite: leave out the rows that are not. Received: "
            f"{int(finite.size - finite.sum())} values that are NaN or infinite"
        )


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return all(size in (None, given) for given, size in zip(shape, expected, strict=True))
