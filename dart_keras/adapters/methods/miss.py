"""MiSS: one small matrix is shared by all groups of a layer's inputs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from dart_keras.adapters.adapter import KernelAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithRank


class MiSSAdapter(KernelAdapter):
    """Adds the product of a matrix with the sum of all groups of the inputs.

    Args:
        kernel: The kernel of the layer.
        rank: Size of a group, r.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Attributes:
        shard: The matrix, of shape (r, M). It starts at zero.
    """

    def __init__(self, kernel: LayerKernel, rank: int, **kwargs: Any) -> None:
        super().__init__(kernel, **kwargs)
        self.rank = int(rank)

    def build(self, *shapes: Any) -> None:
        """Create the matrix."""
        shape = self.rank, self.kernel.shape[1]
        self.shard = self.add_weight(shape=shape, initializer="zeros", name="shard")
        super().build(*shapes)

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the product with the sum of the groups."""
        sums = self.kernel.group_sums(inputs, self.rank)
        shard = ops.cast(self.shard, self.compute_dtype)
        change = self.kernel.from_rows(ops.matmul(sums, shard))
        return ops.add(outputs, ops.cast(change, outputs.dtype))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the matrix added to every group of its rows."""
        shard = ops.convert_to_numpy(self.shard).astype(np.float64)
        return matrix + np.tile(shard, (-(-len(matrix) // self.rank), 1))[: len(matrix)]

    def settings(self) -> dict[str, Any]:
        """Return the rank."""
        return {"rank": self.rank}


@dataclass(frozen=True, kw_only=True)
class MiSS(MethodWithRank):
    """MiSS, first called Bone (Kang and Yin 2024, arXiv:2409.15371, section 3).

    One matrix of shape (r, M) is added to every group of r rows of the kernel. So the inputs are
    summed over the groups before they are multiplied, which makes the cheapest step of all methods.
    If r does not divide the number of rows, the last group is shorter. There is no alpha.

    Attributes:
        rank: Rows of the matrix of every layer, r.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.

    Raises:
        ValueError: If a rank is not a positive integer.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.MiSS(rank=8), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(8, 16)]
    """

    rank: int = 64

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> MiSSAdapter:
        """Return a new adapter with a matrix of zeros."""
        # Words that have nothing in common would get the same change.
        self.check_multiplies(kernel, path)
        return MiSSAdapter(kernel, self.rank_within(kernel.shape[0], kernel, path), **kwargs)
