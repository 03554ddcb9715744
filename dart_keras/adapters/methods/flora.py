"""FLoRA: a Tucker product is added to the kernel."""

import math
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from dart_keras.adapters.adapter import AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import RankedMethod


class FLoRAAdapter(AdditiveAdapter):
    """Adds a product with a small core between two factors, all of which are trained.

    Args:
        kernel: The kernel of the layer.
        rank: Size of the core in each direction.
        scale: What the product is multiplied by.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(self, kernel: LayerKernel, rank: int, scale: float, **kwargs: Any) -> None:
        super().__init__(kernel, **kwargs)
        self.rank, self.scale = int(rank), float(scale)

    def build(self, *shapes: Any) -> None:
        """Create the core, which is zero, and the factors."""
        rows, columns = self.kernel.shape
        # Of He et al. for a leaky ReLU of slope sqrt(3) and `rank` inputs, as in the authors' code.
        spread = math.sqrt(2 / (1 + 3) / self.rank)
        self.core = self.add_weight((self.rank, self.rank), "zeros", name="core")
        self.input_factor, self.output_factor = (
            self.add_weight(
                (size, self.rank), keras.initializers.RandomNormal(0, spread), name=name
            )
            for size, name in ((rows, "input_factor"), (columns, "output_factor"))
        )
        self.built = True

    def factors(self) -> tuple[Any, Any]:
        """Return the factor of the rows, and the scaled core with the factor of the columns."""
        core = ops.multiply(self.scale, self.core)
        return self.input_factor, ops.matmul(core, ops.transpose(self.output_factor))

    def settings(self) -> dict[str, Any]:
        """Return the rank and the scale."""
        return {"rank": self.rank, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class FLoRA(RankedMethod):
    """FLoRA (Si et al. 2024, arXiv:2405.14739): a Tucker decomposition is added to the kernel.

    The kernel's axes keep a core space in common. For a matrix that is alpha U_1 G U_2' with a core
    G of r times r, which starts at 0. The factors start as random normal numbers with the variance
    1 / (2 r). A layer has r (N + M + r) parameters.

    Attributes:
        rank: Rank of every layer's adapter, r.
        alpha: What the product is multiplied by, s in the paper. It is not divided by the rank.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.

    Raises:
        ValueError: If a rank is not a positive integer, or alpha is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.FLoRA(rank=4), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(4, 4), (32, 4), (16, 4)]
    """

    alpha: float = 4

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> FLoRAAdapter:
        """Return a new adapter for a layer."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        return FLoRAAdapter(kernel, rank, self.alpha_of(path), **kwargs)
