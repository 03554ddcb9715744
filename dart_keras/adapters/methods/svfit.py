"""SVFit: the largest singular values of a kernel are trained."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithRank


class SVFitAdapter(AdditiveAdapter):
    """Adds a product with the kernel's first singular vectors and trained changes of the values.

    Args:
        kernel: The kernel of the layer.
        rank: How many singular values are trained.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(self, kernel: LayerKernel, rank: int, **kwargs: Any) -> None:
        super().__init__(kernel, **kwargs)
        self.rank = int(rank)

    def build(self, *shapes: Any) -> None:
        """Create the changes, which are zero, and the places of the singular vectors."""
        rows, columns = self.kernel.shape
        self.changes = self.add_weight((self.rank,), "zeros", name="changes", autocast=False)
        self.left = self.add_weight((rows, self.rank), "zeros", trainable=False, name="left")
        self.right = self.add_weight((self.rank, columns), "zeros", trainable=False, name="right")
        self.derived_weights = (self.left, self.right)
        self.built = True

    def attach(self, layer: Any) -> None:
        """Take the singular vectors of the layer's kernel."""
        matrix = self.kernel.matrix_of(layer).astype(np.float64)
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        self.left.assign(left[:, : self.rank])
        self.right.assign(right[: self.rank])

    def factors(self) -> tuple[Any, Any]:
        """Return the singular vectors, those of the columns times the changes."""
        return self.left, ops.multiply(ops.expand_dims(self.changes, 1), self.right)

    def settings(self) -> dict[str, Any]:
        """Return the number of singular values."""
        return {"rank": self.rank}


@dataclass(frozen=True, kw_only=True)
class SVFit(MethodWithRank):
    """SVFit (Sun et al. 2024, arXiv:2409.05926): the largest singular values are trained.

    The kernel is U S V' with singular values S, of which the `rank` largest are trained. A layer
    has that many parameters. The weights are the differences to the values of the kernel and start
    at 0, so that weight decay pulls towards the pretrained model. U and V are computed again from
    the model when a file is loaded. They have rank (N + M) elements.

    Attributes:
        rank: How many singular values are trained, the largest ones; all where there are fewer.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.

    Raises:
        ValueError: If a rank is not a positive integer.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.SVFit(rank=12), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(12,)]
    """

    rank: int = 768

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> SVFitAdapter:
        """Return a new adapter for a layer."""
        return SVFitAdapter(kernel, min(self.rank_of(path), *kernel.shape), **kwargs)
