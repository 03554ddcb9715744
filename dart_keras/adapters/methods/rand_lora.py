"""RandLoRA: a sum of products with frozen random matrices, scaled by trained vectors."""

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

_USUAL_SCALE = 20


class RandLoRAAdapter(AdditiveAdapter):
    """Adds a product with a sum of frozen random matrices, scaled by trained vectors.

    Args:
        kernel: The kernel of the layer.
        rank: Rank of each of the matrices, of which there are as many as a full rank takes.
        seed: Of the random matrices.
        scale: What the sum is multiplied by.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self, kernel: LayerKernel, rank: int, seed: int, scale: float, **kwargs: Any
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.seed, self.scale = int(rank), int(seed), float(scale)

    def build(self, *shapes: Any) -> None:
        """Create the vectors, of each matrix two, and draw the random matrices."""
        rows, columns = self.kernel.shape
        short, long = min(rows, columns), max(rows, columns)
        count = math.ceil(short / self.rank)
        start = keras.initializers.Constant(1 / long)
        self.lambdas = self.add_weight((count, self.rank), "zeros", name="lambda", autocast=False)
        self.gammas = self.add_weight((count, short), start, name="gamma", autocast=False)
        # The vectors scale the matrix on the shorter side, of which there is one.
        self._shared = seeded_rows(self.seed, "A", self.rank, short)
        draw = seeded_rows if rows < columns else seeded_columns
        sizes = (count * self.rank, columns) if rows < columns else (rows, count * self.rank)
        self._own = draw(self.seed, "B", *sizes)
        self.built = True

    def factors(self) -> tuple[Any, Any]:
        """Return the random matrices side by side, those of the shorter side scaled."""
        scaled = ops.multiply(ops.expand_dims(self.scale * self.lambdas, 2), self._shared)
        scaled = ops.multiply(scaled, ops.expand_dims(self.gammas, 1))
        scaled = ops.reshape(scaled, (-1, min(self.kernel.shape)))
        if self.kernel.shape[0] < self.kernel.shape[1]:
            return ops.transpose(scaled), self._own
        return self._own, scaled

    def settings(self) -> dict[str, Any]:
        """Return the rank, the seed and the scale."""
        return {"rank": self.rank, "seed": self.seed, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class RandLoRA(SeededMethod):
    """RandLoRA (Albert et al. 2025, arXiv:2502.00987): changes of full rank with few parameters.

    The change is alpha / r times the sum over n of B_n diag(lambda_n) A diag(gamma_n), with as many
    terms of rank r as a full rank takes. A and the B_n are frozen random matrices with elements of
    variance 1. All layers share them: the A and B_n of a layer are the leading parts of those of a
    larger one. They are drawn from the seed and stand in no file. A is on the shorter side of the
    kernel, as in PEFT. lambda starts at 0, gamma at 1 / max(N, M).

    A layer has ceil(min(N, M) / r) (r + min(N, M)) parameters: fewer with a larger rank. The B_n
    take as much memory as the kernel, but layers of the same shape have it in common.

    Attributes:
        rank: Rank of each term, r.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        seed: Of the random matrices. Files of adapters hold it instead of them.
        alpha: The change is scaled by alpha / r; `None` for 20 r.

    Raises:
        ValueError: If a rank is not a positive integer, `seed` is not an integer of at least 0, or
            `alpha` is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.RandLoRA(rank=8), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(2, 8), (2, 16)]
    """

    rank: int = 32
    alpha: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is not None and (not is_number(self.alpha) or self.alpha <= 0):
            raise ValueError(
                f"Expected alpha of `RandLoRA` above 0, or `None`. Received: alpha={self.alpha!r}"
            )

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> RandLoRAAdapter:
        """Return a new adapter for a layer."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        scale = _USUAL_SCALE if self.alpha is None else self.alpha / rank
        return RandLoRAAdapter(kernel, rank, self.seed, scale, **kwargs)
