"""VeRA: frozen random matrices, of which vectors scale the rows and columns."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.methods.random_matrices import (
    SeededMethod,
    seeded_columns,
    seeded_rows,
)
from dart_keras.utils.argument_checks import is_number


class VeRAAdapter(AdditiveAdapter):
    """Adds a product with two frozen random matrices, scaled by trained vectors.

    Args:
        kernel: The kernel of the layer.
        rank: Rank of the product.
        seed: Of the random matrices.
        d_initial: What the vector between the matrices starts at. The other one starts at 0.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self, kernel: LayerKernel, rank: int, seed: int, d_initial: float = 0.1, **kwargs: Any
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.seed, self.d_initial = int(rank), int(seed), float(d_initial)

    def build(self, *shapes: Any) -> None:
        """Create the two vectors and draw the random matrices."""
        rows, columns = self.kernel.shape
        start = keras.initializers.Constant(self.d_initial)
        self.d = self.add_weight((self.rank,), start, name="d", autocast=False)
        self.b = self.add_weight((columns,), "zeros", name="b", autocast=False)
        self._left = seeded_columns(self.seed, "A", rows, self.rank)
        self._right = seeded_rows(self.seed, "B", self.rank, columns)
        self.built = True

    def factors(self) -> tuple[Any, Any]:
        """Return the random matrices, the second with rows and columns scaled."""
        # He's scale, by the number of inputs that are summed: one row of a table is looked up.
        summed = 1 if self.kernel.looks_up else self.kernel.shape[0]
        scale = math.sqrt(2 / summed) * math.sqrt(2 / self.rank)
        scales = ops.multiply(ops.expand_dims(scale * self.d, 1), self.b)
        return self._left, ops.multiply(self._right, scales)

    def settings(self) -> dict[str, Any]:
        """Return the rank, the seed and where the vectors started."""
        return {"rank": self.rank, "seed": self.seed, "d_initial": self.d_initial}


@dataclass(frozen=True, kw_only=True)
class VeRA(SeededMethod):
    """VeRA (Kopiczko et al. 2023, arXiv:2310.11454): only two vectors a layer are trained.

    In the layout of the paper, outputs by inputs, diag(b) B diag(d) A is added to the kernel. A and
    B are frozen random matrices. All layers share them: the matrices of a layer are the leading
    parts of those of a larger one. They are drawn from the seed and stand in no file. Scaled as He
    et al. do, uniformly distributed.

    A layer has rank + M parameters. The rank may be larger than the kernel. Learning rates are
    about ten times those of LoRA.

    Attributes:
        rank: Rank of every layer's adapter, the length of d.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        seed: Of the random matrices. Files of adapters hold it instead of them.
        d_initial: What d starts at. b starts at 0.

    Raises:
        ValueError: If a rank is not a positive integer, `seed` is not an integer of at least 0, or
            `d_initial` is 0 or no finite number.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.VeRA(rank=64), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(64,), (16,)]
    """

    rank: int = 256
    d_initial: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.d_initial) or self.d_initial == 0:
            raise ValueError(
                "Expected `d_initial` of `VeRA` to be a number other than 0, or nothing could be "
                f"learned. Received: d_initial={self.d_initial!r}"
            )

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> VeRAAdapter:
        """Return a new adapter for a layer."""
        return VeRAAdapter(kernel, self.rank_of(path), self.seed, self.d_initial, **kwargs)
