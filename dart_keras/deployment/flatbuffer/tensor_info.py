from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorInfo:
    """What a file says of one of its inputs or outputs.

    Attributes:
        name: The Keras model's name for it.
        shape: Its shape, the batch dimension of 1 included.
        dtype: Its NumPy dtype, for example `"int8"`.
        scale: The step between two neighbouring integers; None if it is not quantized.
        zero_point: The integer that stands for 0.0; None if it is not quantized.

    Example:
        >>> info = TensorInfo("x", (1, 2), "int8", scale=0.5, zero_point=-3)
        >>> info.quantize(np.array([0.0, 1000.0]))
        array([ -3, 127], dtype=int8)
        >>> info.dequantize(np.array([-3, -1], "int8"))
        array([0., 1.], dtype=float32)
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Return what the file takes for real values, clipped to what it can hold.

        Args:
            values: Real values, or ids for an integer input; an array of any shape.

        Raises:
            ValueError: If an id is not one of the file's dtype.
        """
        if self.scale is None:
            return self._cast(np.asarray(values))
        limits = np.iinfo(self.dtype)
        steps = np.round(np.asarray(values, "float64") / self.scale) + (self.zero_point or 0)
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Return the real values of what the file gives, in float32; ids stay integers.

        Args:
            values: An array of the file's dtype, of any shape.
        """
        if self.scale is None:
            return np.asarray(values)
        shifted = np.asarray(values, "float64") - (self.zero_point or 0)
        return (shifted * self.scale).astype("float32")

    def _cast(self, values: np.ndarray) -> np.ndarray:
        if np.dtype(self.dtype).kind in "iu" and values.size and values.dtype != self.dtype:
            limits = np.iinfo(self.dtype)
            # NumPy would wrap around.
            if values.min() < limits.min or values.max() > limits.max:
                raise ValueError(
                    f"Expected {self.name!r} to hold values of {self.dtype}. Received: values from "
                    f"{values.min()} to {values.max()}"
                )
        return values.astype(self.dtype)

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes for a report in JSON."""
        return asdict(self) | {"shape": list(self.shape)}
