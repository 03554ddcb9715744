"""Inputs and outputs of a file, and conversion of rows to and from them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from errors import RefusedError

_DTYPES = ("float32", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(frozen=True)
class Tensor:
    """An input or output of a file.

    Attributes:
        name: Name of its array in a `.npz` file.
        shape: Shape of one row.
        dtype: Name of its NumPy dtype.
        scale: Quantization step; None if it is not quantized.
        zero_point: Integer that represents 0.0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int

    @property
    def takes_ids(self) -> bool:
        """Whether its integers are ids, rather than quantized values."""
        return self.scale is None and np.dtype(self.dtype).kind in "iu"

    def quantized(self, rows: np.ndarray) -> np.ndarray:
        """Convert rows of real values, or of ids, to the file's dtype."""
        if self.scale is None:
            return rows.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.round(rows.astype("float64") / self.scale) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def dequantized(self, values: np.ndarray) -> np.ndarray:
        """Convert the file's outputs to real values; ids stay integers."""
        if self.scale is None:
            return values
        return ((values.astype("float64") - self.zero_point) * self.scale).astype("float32")

    def check(self, rows: np.ndarray, as_in_file: bool) -> None:
        """Raise a RefusedError if the rows do not fit.

        Args:
            rows: The rows.
            as_in_file: Whether they must have the file's own dtype.
        """
        if rows.ndim == 0 or rows.shape[1:] != self.shape or not len(rows):
            wanted = ", ".join(("rows", *map(str, self.shape)))
            raise RefusedError(f"Expected {self.name} of shape ({wanted}). Received: {rows.shape}")
        if as_in_file:
            fits, wanted = rows.dtype == self.dtype, self.dtype
        elif self.takes_ids:
            fits, wanted = rows.dtype.kind in "iu", "integers"
        else:
            fits, wanted = rows.dtype.kind in "fiub", "numbers"
        if not fits:
            raise RefusedError(
                f"Expected {self.name} of {wanted}. Received: an array of {rows.dtype}"
            )
        if not np.isfinite(rows).all():
            raise RefusedError(f"Expected {self.name} to be finite. Received: NaN or infinity")
        if self.takes_ids and (beyond := rows[rows != rows.astype(self.dtype)]).size:
            raise RefusedError(f"Expected {self.name} of {self.dtype}. Received: {beyond[0]}")


def tensor_from_details(detail: dict[str, Any], name: str) -> Tensor:
    """Return the tensor that the interpreter's details describe.

    Args:
        detail: An element of its `get_input_details()` or `get_output_details()`.
        name: Name of the tensor.
    """
    shape = [int(size) for size in detail["shape"]]
    dtype = np.dtype(detail["dtype"])
    if dtype.name not in _DTYPES:
        raise RefusedError(f"Expected {name} to be of one of {_DTYPES}. Received: {dtype}")
    scale, zero_point = detail["quantization"]
    if not math.isfinite(scale) or scale < 0:
        raise RefusedError(f"Expected a positive scale. Received: {name} with the scale {scale}")
    quantized = scale > 0 and dtype.kind in "iu"
    return Tensor(
        name, tuple(shape[1:]), dtype.name, float(scale) if quantized else None, zero_point
    )


def order_arrays(
    arrays: dict[str, np.ndarray], tensors: list[Tensor], named: bool
) -> list[np.ndarray]:
    """Return arrays in the order of a file's inputs.

    Args:
        arrays: Arrays by name. NumPy calls one that has none `arr_0`.
        tensors: The inputs.
        named: Whether the file has input names. If not, the arrays keep their order.
    """
    names = [tensor.name for tensor in tensors]
    without_name = len(names) == 1 and list(arrays) == ["arr_0"]
    if len(arrays) == len(names) and (without_name or not named):
        return list(arrays.values())
    if set(arrays) != set(names):
        raise RefusedError(f"Expected one array for each of {names}. Received: {list(arrays)}")
    return [arrays[name] for name in names]
