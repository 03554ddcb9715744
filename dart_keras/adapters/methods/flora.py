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
        positions = self.kernel.positions
        core = (positions, self.rank, self.rank) if positions > 1 else (self.rank, self.rank)
        # Of He et al. for a leaky ReLU of slope sqrt(3) and `rank` inputs, as in the authors' code.
        spread = math.sqrt(2 / (1 + 3) / self.rank)
        self.core = self.add_weight(core, "zeros", name="core")
        self.input_factor, self.output_factor = (
            self.add_weight(
                (size, self.rank), keras.initializers.RandomNormal(0, spread), name=name
            )
            for size, name in ((rows // positions, "input_factor"), (columns, "output_factor"))
        )
        self.built = True

    def factors(self) -> tuple[Any, Any]:
        """Return the product of core and one factor, and the other factor, scaled."""
        core = ops.multiply(self.scale, self.core)
        right = ops.transpose(self.output_factor)
        if self.kernel.positions == 1:
            return self.input_factor, ops.matmul(core, right)
        left = ops.matmul(self.input_factor, core)
        return ops.reshape(left, (self.kernel.shape[0], self.rank)), right

    def settings(self) -> dict[str, Any]:
        """Return the rank and the scale."""
        return {"rank": self.rank, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class FLoRA(RankedMethod):
    """FLoRA (Si et al. 2024, arXiv:2405.14739): a Tucker decomposition is added to the kernel.

    The kernel's axes keep a core space in common. For a matrix that is alpha U_1 G U_2' with a core
    G of r times r, which starts at 0. The factors start as random normal numbers with the variance
    1 / (2 r). A layer has r (N + M + r) parameters. The kernel of a convolution keeps its spatial
    shape: there is a matrix of r times r in the core for each of its k positions, and U_1 is one of
    the input channels, so there are r (N / k + M + k r) parameters.

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
        rows, columns = kernel.shape
        rank = self.rank_within(min(rows // kernel.positions, columns), kernel, path)
        return FLoRAAdapter(kernel, rank, self.alpha_of(path), **kwargs)
