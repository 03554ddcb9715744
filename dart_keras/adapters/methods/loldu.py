"""LoLDU: the first pivots of a kernel's triangular decomposition are trained."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithRank
from dart_keras.utils.argument_checks import is_number

# A pivot below this share of the matrix is nothing but rounding of float32.
_NO_PIVOT = 1e-7
# Steps between which the rest of the matrix is updated at once, which is faster.
_BLOCK = 32


class LoLDUAdapter(AdditiveAdapter):
    """Adds a product with the kernel's triangular factors and trained changes of the pivots.

    Args:
        kernel: The kernel of the layer.
        rank: How many pivots are trained.
        scale: What the trained scale starts at.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(self, kernel: LayerKernel, rank: int, scale: float, **kwargs: Any) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.first_scale = int(rank), float(scale)

    def build(self, *shapes: Any) -> None:
        """Create the changes, which are zero, the scale, and the places of the factors."""
        rows, columns = self.kernel.shape
        start = keras.initializers.Constant(self.first_scale)
        self.changes = self.add_weight((self.rank,), "zeros", name="changes", autocast=False)
        self.scale = self.add_weight((), start, name="scale", autocast=False)
        # The difference of products with them is small, so they are not rounded to a low precision.
        self.pivots, self.left, self.right = (
            self.add_weight(shape, "zeros", trainable=False, name=name, autocast=False)
            for name, shape in (
                ("pivots", (self.rank,)),
                ("left", (rows, self.rank)),
                ("right", (self.rank, columns)),
            )
        )
        self.derived_weights = (self.pivots, self.left, self.right)
        self.built = True

    def attach(self, layer: Any) -> None:
        """Take the triangular factors and the pivots of the layer's kernel."""
        matrix = self.kernel.matrix_of(layer).astype(np.float64)
        # In the paper kernels are outputs by inputs, but tables are as they are here.
        if self.kernel.looks_up:
            left, pivots, right = pivoted_factors(matrix, self.rank)
        else:
            right, pivots, left = (each.T for each in pivoted_factors(matrix.T, self.rank))
        self.pivots.assign(pivots)
        self.left.assign(left)
        self.right.assign(right)

    def factors(self) -> tuple[Any, Any]:
        """Return the triangular factors, that of the columns times the changes of the pivots."""
        before = ops.multiply(self.first_scale, self.pivots)
        after = ops.multiply(self.scale, ops.add(self.pivots, self.changes))
        change = ops.expand_dims(ops.subtract(after, before), 1)
        return self.left, ops.multiply(change, self.right)

    def settings(self) -> dict[str, Any]:
        """Return the number of pivots and what the scale started at."""
        return {"rank": self.rank, "scale": self.first_scale}


@dataclass(frozen=True, kw_only=True)
class LoLDU(MethodWithRank):
    """LoLDU (Shi et al. 2024, arXiv:2410.13618): a kernel's first pivots are trained.

    The kernel, outputs by inputs, is P L D U with a permutation P, triangular L and U with ones on
    their diagonals, and the pivots D. With the first r columns of L and rows of U,
    P L_r (s z - s_0 D_r) U_r is added, where z and the scale s are trained. z starts at D_r and s
    at s_0. As in the authors' code, s does not act on what is subtracted. A layer has r + 1
    parameters. The weights of z are its differences to D_r and start at 0, so that weight decay
    pulls towards the pretrained model. The factors are computed again from the model when a file is
    loaded. They have r (N + M) elements.

    Attributes:
        rank: How many pivots are trained, r; all where there are fewer.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        scale: s_0, in the authors' code alpha / r.

    Raises:
        ValueError: If a rank is not a positive integer, or `scale` is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoLDU(rank=12), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(12,), ()]
    """

    rank: int = 768
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.scale) or self.scale <= 0:
            raise ValueError(f"Expected `scale` of `LoLDU` above 0. Received: scale={self.scale!r}")

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> LoLDUAdapter:
        """Return a new adapter for a layer."""
        rank = min(self.rank_of(path), *kernel.shape)
        return LoLDUAdapter(kernel, rank, self.scale, **kwargs)


def pivoted_factors(matrix: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the first part of a triangular decomposition with pivots, P L D U.

    Each step takes the row with the largest element in the next column, as usual. NumPy has no such
    decomposition, and Keras's is for square matrices alone on TensorFlow.

    Args:
        matrix: Array of shape (rows, columns).
        rank: Number of steps, at most the shorter side.

    Returns:
        P L of shape (rows, rank), the diagonal of D, and U of shape (rank, columns). Where a column
        has nothing left, the pivot is 0.

    Example:
        >>> left, pivots, right = pivoted_factors(np.array([[1.0, 2], [4, 2]]), 2)
        >>> left.tolist(), pivots.tolist(), right.tolist()
        ([[0.25, 1.0], [1.0, 0.0]], [4.0, 1.5], [[1.0, 0.5], [0.0, 1.0]])
    """
    rows, columns = matrix.shape
    lower, scaled = np.zeros((rows, rank)), np.zeros((rows, rank))  # P L, and the same times D
    pivots, upper = np.zeros(rank), np.zeros((rank, columns))
    free = np.ones(rows, bool)
    smallest = _NO_PIVOT * np.max(np.abs(matrix), initial=0)
    rest = matrix.copy()
    for start in range(0, rank, _BLOCK):
        block = slice(start, min(start + _BLOCK, rank))
        for step in range(rank)[block]:
            left = rest[:, step] - scaled[:, start:step] @ upper[start:step, step]
            column = np.where(free, left, 0)
            pivot = int(np.argmax(np.where(free, np.abs(left), -1)))
            free[pivot] = False
            lower[pivot, step] = upper[step, step] = 1
            if abs(column[pivot]) > smallest:
                pivots[step] = column[pivot]
                scaled[:, step] = column
                lower[:, step] = column / column[pivot]
                row = rest[pivot] - scaled[pivot, start:step] @ upper[start:step]
                upper[step, step + 1 :] = row[step + 1 :] / column[pivot]
        rest -= scaled[:, block] @ upper[block]
    return lower, pivots, upper
