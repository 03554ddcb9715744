"""LoRETTA: the small matrices of LoRA or of a bottleneck are TT matrices."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.kernels import LayerKernel, chained_cores
from dart_keras.adapters.method import Method, RankedMethod
from dart_keras.adapters.methods.tensor_train import usual_factors
from dart_keras.adapters.methods.tt_pair import TTPairAdapter
from dart_keras.layers import TTDense
from dart_keras.utils.argument_checks import is_integer

_ACTIVATIONS = ("relu", "tanh")


class LoRETTAAdapter(TTPairAdapter):
    """Adds the scaled product with two TT matrices to a layer's outputs.

    Args:
        kernel: The kernel of the layer.
        width: The rank of LoRA, r.
        modes: Factors of N, of r and of M.
        ranks: The TT ranks of both matrices.
        scale: What the product is multiplied by. It does not depend on the ranks.
        rank_regularizer: Rank regularizer of both TT layers.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        width: int,
        modes: Sequence[Sequence[int]],
        ranks: Sequence[Any],
        scale: float,
        rank_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        rows = kernel.shape[0]
        super().__init__(kernel, rows, width, modes, ranks, False, rank_regularizer, **kwargs)
        self.scale = float(scale)

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the scaled product with the two matrices."""
        # The matrices are so small that to rebuild them is faster than to multiply by cores.
        left, right = (_rebuilt(layer, training) for layer in (self.first, self.second))
        change = ops.multiply(self.scale, self.kernel.product(inputs, left, right, reverse))
        return ops.add(outputs, ops.cast(change, outputs.dtype))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the scaled product of the two matrices added."""
        (rows, columns), width = matrix.shape, self.width
        left = self.first.to_tt().to_dense()[:rows, :width]
        right = self.second.to_tt().to_dense()[:width, :columns]
        return matrix + self.scale * left @ right

    def settings(self) -> dict[str, Any]:
        """Return the width, the scale, the modes and the present ranks."""
        return {**super().settings(), "scale": self.scale}


class TTBottleneckAdapter(TTPairAdapter):
    """Adds to a layer's outputs what a small network of two TT layers makes of them.

    Args:
        kernel: The kernel of the layer.
        width: Units between the two TT layers.
        modes: Factors of M, of the width and of M.
        ranks: The TT ranks of both layers.
        activation: The activation between them.
        rank_regularizer: Rank regularizer of both TT layers.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        width: int,
        modes: Sequence[Sequence[int]],
        ranks: Sequence[Any],
        activation: str,
        rank_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        rows = kernel.shape[1]
        super().__init__(kernel, rows, width, modes, ranks, True, rank_regularizer, **kwargs)
        self.activation = activation

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and what the two TT layers make of them."""
        rows = self.kernel.to_rows(outputs)
        hidden = keras.activations.get(self.activation)(self.first(rows, training=training))
        change = self.kernel.from_rows(self.second(hidden, training=training))
        return ops.add(outputs, ops.cast(change, outputs.dtype))

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Refuse: no other kernel does the same.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"Expected an adapter that changes a kernel. Received: {self.name!r}, a bottleneck "
            f"with the activation {self.activation!r}, which cannot be merged"
        )

    def settings(self) -> dict[str, Any]:
        """Return the width, the activation, the modes and the present ranks."""
        return {**super().settings(), "activation": self.activation}


@dataclass(frozen=True, kw_only=True)
class LoRETTA(RankedMethod):
    """LoRETTA_rep (Yang et al. 2024, arXiv:2402.11417, section 3): LoRA of two TT matrices.

    Each of LoRA's matrices, of shapes (N, r) and (r, M), is one tensor over factors of about 8. In
    the paper both start with random values, which are taken off the pretrained kernel; here one
    core of the second matrix is zero, so that the kernel stays as it is. With
    `dart_keras.callbacks.RankDiscretization` the TT ranks are learned.

    Attributes:
        rank: Rank of every layer's adapter, r.
        alpha: The change is scaled by alpha / r.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.
        tt_rank: TT rank of both matrices at the start.
        rank_regularizer: A rank regularizer of the cores.

    Raises:
        ValueError: If a rank is not a positive integer, or alpha is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRETTA(), layers=["hidden"])
        >>> sum(weight.shape.num_elements() for weight in adapted.trainable_variables)
        960
    """

    tt_rank: int = 5
    rank_regularizer: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(self, "tt_rank")

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> LoRETTAAdapter:
        """Return a new adapter of two TT matrices."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        rows, columns = kernel.shape
        modes = usual_factors(rows)[::-1], (rank,), usual_factors(columns)
        ranks, scale = (self.tt_rank, self.tt_rank), self.alpha_of(path) / rank
        return LoRETTAAdapter(kernel, rank, modes, ranks, scale, self.rank_regularizer, **kwargs)


@dataclass(frozen=True, kw_only=True)
class LoRETTAAdp(Method):
    """LoRETTA_adp (Yang et al. 2024, arXiv:2402.11417, section 3): a bottleneck of two TT layers.

    It comes after the layers that are adapted: choose the output projections of attention and the
    last layers of feed-forward parts. In the paper, layer normalizations are trained as well: give
    them as `train_also`. The last core and bias start at zero.

    It computes something else than another kernel would, so it cannot be merged.

    Attributes:
        width: Units between the two TT layers.
        tt_rank: TT rank of both at the start. It can be learned, as that of `LoRETTA`.
        activation: `"tanh"` or `"relu"`.
        rank_regularizer: A rank regularizer of the cores.

    Raises:
        ValueError: If `width` or `tt_rank` is not a positive integer, or `activation` is another.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRETTAAdp(), layers=["hidden"])
        >>> sum(weight.shape.num_elements() for weight in adapted.trainable_variables)
        1936
    """

    width: int = 64
    tt_rank: int = 5
    activation: str = "tanh"
    rank_regularizer: Any = None

    def __post_init__(self) -> None:
        _check_positive(self, "width")
        _check_positive(self, "tt_rank")
        if self.activation not in _ACTIVATIONS:
            raise ValueError(
                f"Expected `activation` to be one of {_ACTIVATIONS}. "
                f"Received: activation={self.activation!r}"
            )

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> TTBottleneckAdapter:
        """Return a new bottleneck."""
        self.check_multiplies(kernel, path)
        factors = usual_factors(kernel.shape[1])
        modes = factors[::-1], usual_factors(self.width), factors
        more = (self.tt_rank, self.tt_rank), self.activation, self.rank_regularizer
        return TTBottleneckAdapter(kernel, self.width, modes, *more, **kwargs)


def _check_positive(method: Method, name: str) -> None:
    value = getattr(method, name)
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"Expected `{name}` of `{type(method).__name__}` to be a positive integer. "
            f"Received: {name}={value!r}"
        )


def _rebuilt(layer: TTDense, training: bool | None) -> Any:
    """Return the matrix of a TT layer as a tensor."""
    # Its modes are those of the rows, then those of the columns, so there is nothing to transpose.
    matrix = chained_cores(layer.cores_in_use(training))
    matrix = ops.reshape(matrix, (math.prod(layer.input_modes), math.prod(layer.output_modes)))
    rows, columns = layer.matrix_shape
    return matrix[:rows, :columns]
