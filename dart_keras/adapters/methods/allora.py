"""ALLoRA: LoRA without a scale, whose gradients are larger where its change is small."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithRank
from dart_keras.adapters.methods.tensor_train import TTAdapter
from dart_keras.utils.argument_checks import is_number


class ALLoRAAdapter(TTAdapter):
    """Adds a product with a TT matrix of two cores, and changes its gradients.

    Args:
        kernel: The kernel of the layer.
        ranks: Ranks of the TT matrix.
        input_modes: Its modes of the N rows, (N, 1).
        output_modes: Its modes of the M columns, (1, M).
        scale: What the product is multiplied by.
        eta: What the gradients are multiplied by while the product is zero.
        rank_regularizer: Rank regularizer of the TT layer.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        scale: float = 1.0,
        eta: float = 2.0,
        rank_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel, ranks, input_modes, output_modes, scale, rank_regularizer, **kwargs
        )
        self.eta = float(eta)

    def change(self, inputs: Any, dtype: Any, reverse: bool, training: bool | None) -> Any:
        """Return the product; in training, in a form that has the changed gradients."""
        if not training:
            return super().change(inputs, dtype, reverse, training)
        first, second = self.update.cores_in_use(training=True)
        left = ops.reshape(first, (-1, first.shape[3]))
        right = ops.reshape(second, (second.shape[0], -1))
        fixed_left, fixed_right = ops.stop_gradient(left), ops.stop_gradient(right)
        factors = ops.cast(self._gradient_factors(fixed_left, fixed_right), right.dtype)
        # The inputs get the gradient as it is, the first matrix none.
        plain = self.kernel.product(
            inputs, fixed_left, fixed_right + factors * (right - fixed_right), reverse
        )
        # Zero, with the gradient of the first matrix.
        nothing = self.kernel.product(inputs, left - fixed_left, factors * fixed_right, reverse)
        return ops.cast(self.scale * (plain + nothing), dtype)

    def _gradient_factors(self, left: Any, right: Any) -> Any:
        """Return what the gradient of each column of the product is multiplied by."""
        left, right = ops.cast(left, "float32"), ops.cast(right, "float32")
        gram = ops.matmul(ops.transpose(left), left)
        squares = ops.sum(right * ops.matmul(gram, right), axis=0)
        norms = self.scale * ops.sqrt(ops.maximum(squares, 0.0))
        return ops.rsqrt(norms + 1 / self.eta**2)

    def settings(self) -> dict[str, Any]:
        """Return the scale, the modes, the present ranks and eta."""
        return {**super().settings(), "eta": self.eta}


@dataclass(frozen=True, kw_only=True)
class ALLoRA(MethodWithRank):
    """ALLoRA (Huang and Balestriero 2024, arXiv:2410.09692, section 4): LoRA with other gradients.

    The change of the kernel has no scale and no dropout. The gradient of its part for one output
    unit, with the norm n, is multiplied by 1 / sqrt(n + 1 / eta^2): what is small learns faster.
    From that gradient come those of both matrices, while layers before get theirs as they are. So
    it is a method and no optimizer, which would see the gradients of the two matrices alone. It
    works with any optimizer.

    Attributes:
        rank: Rank of every layer's adapter.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        eta: What gradients are multiplied by at the start.
        rank_regularizer: A rank regularizer of the matrices.

    Raises:
        ValueError: If a rank is not a positive integer, or `eta` is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.ALLoRA(rank=4), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(1, 32, 1, 4), (4, 1, 16, 1)]
    """

    eta: float = 2.0
    rank_regularizer: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_number(self.eta) or self.eta <= 0:
            raise ValueError(f"Expected `eta` above 0. Received: eta={self.eta!r}")

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> ALLoRAAdapter:
        """Return a new adapter for a layer."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        rows, columns = kernel.shape
        settings = {"eta": self.eta, "rank_regularizer": self.rank_regularizer}
        return ALLoRAAdapter(kernel, rank, (rows, 1), (1, columns), **settings, **kwargs)
