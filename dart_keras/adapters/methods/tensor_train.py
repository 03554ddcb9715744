"""LoRA and TT-LoRA: a product with a TT matrix is added to a layer's outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapter import KernelAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import MethodWithModes, RankedMethod
from dart_keras.tensor_train.modes import balanced_modes
from dart_keras.tensor_train.modes.factorization import padded_dims

# About the mode that has the fewest parameters for a rank.
_USUAL_MODE = 8


class TTAdapter(KernelAdapter):
    """Adds a scaled product with a TT matrix to a layer's outputs.

    The TT matrix is that of a `TTLayer`, so all that finds, truncates or counts ranks works on it.
    Its last core starts at zero; for an embedding, the core with the most rows.

    Args:
        kernel: The kernel of the layer.
        ranks: Ranks of the TT matrix.
        input_modes: Its modes of the N rows.
        output_modes: Its modes of the M columns.
        scale: What the product is multiplied by. It does not depend on the ranks.
        rank_regularizer: Rank regularizer of the TT layer.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Attributes:
        update: The TT layer, without a bias.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        ranks: Any,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        scale: float,
        rank_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.scale = float(scale)
        self.update = kernel.tt_layer(
            ranks,
            input_modes,
            output_modes,
            "zeros",
            rank_regularizer=rank_regularizer,
            name=f"{self.name}_update",
            dtype=self.dtype_policy,
        )
        self.update.stands_for_dense = False

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the scaled product with the TT matrix."""
        return ops.add(outputs, self.change(inputs, outputs.dtype, reverse, training))

    def change(self, inputs: Any, dtype: Any, reverse: bool, training: bool | None) -> Any:
        """Return the scaled product with the TT matrix.

        Args:
            inputs: What the adapted layer is called with.
            dtype: The dtype of the layer's outputs.
            reverse: Whether an embedding is called with `reverse=True`.
            training: As for any Keras layer.
        """
        change = self.kernel.tt_product(self.update, inputs, reverse, training)
        return ops.cast(self.scale * change, dtype)

    def merged(self, matrix: np.ndarray) -> np.ndarray:
        """Return the kernel with the scaled TT matrix added."""
        rows, columns = matrix.shape
        return matrix + self.scale * self.update.to_tt().to_dense()[:rows, :columns]

    def settings(self) -> dict[str, Any]:
        """Return the scale, the modes and the present ranks."""
        names = ("ranks", "input_modes", "output_modes")
        return {"scale": self.scale} | {name: list(getattr(self.update, name)) for name in names}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks."""
        regularizer = keras.regularizers.serialize(self.update.rank_regularizer)
        return {**super().get_config(), "rank_regularizer": regularizer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the adapter of a config from `get_config`."""
        regularizer = keras.regularizers.deserialize(config["rank_regularizer"])
        return super().from_config({**config, "rank_regularizer": regularizer})


@dataclass(frozen=True, kw_only=True)
class LoRA(RankedMethod):
    """LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1): a product of two matrices is added.

    The two are a TT matrix with the modes (N, 1) and (1, M), so its rank can be learned: train with
    `dart_keras.callbacks.RankDiscretization`.

    Attributes:
        rank: Rank of every layer's adapter, r.
        alpha: The change is scaled by alpha / r, with the r of the start.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.
        rank_stabilized: Whether to scale by alpha / sqrt(r) (rsLoRA, Kalajdzievski 2023,
            arXiv:2312.03732, section 3).
        rank_regularizer: A rank regularizer of the matrices.

    Raises:
        ValueError: If a rank is not a positive integer, or alpha is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.LoRA(rank=4), layers=["hidden"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(1, 32, 1, 4), (4, 1, 16, 1)]
    """

    _adapter_class: ClassVar[type[TTAdapter]] = TTAdapter

    rank_stabilized: bool = False
    rank_regularizer: Any = None

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> TTAdapter:
        """Return an adapter with two matrices."""
        rank = self.rank_within(min(kernel.shape), kernel, path)
        scale = self.alpha_of(path) / (math.sqrt(rank) if self.rank_stabilized else rank)
        rows, columns = kernel.shape
        regularizer = {"rank_regularizer": self.rank_regularizer}
        return self._adapter_class(
            kernel, rank, (rows, 1), (1, columns), scale, **regularizer, **kwargs
        )


@dataclass(frozen=True, kw_only=True)
class TTLoRA(MethodWithModes, RankedMethod):
    """TT-LoRA (Anjum et al. 2024, arXiv:2408.01008, section 3): a TT tensor is added.

    The matrix is one tensor over the factors of its rows, then those of its columns. In the paper
    it starts with random values; here its last core is zero, so that the model starts as it was.
    With `dart_keras.callbacks.RankDiscretization` the ranks of all layers are learned.

    Attributes:
        rank: Rank at all bonds at the start.
        alpha: What the change is multiplied by. It is not divided by the rank.
        rank_pattern: Other ranks: by regular expression that matches the whole path of a layer.
        alpha_pattern: Other values of alpha, likewise.
        input_modes: Factors of the number of rows N, such as `(12, 8, 8)` for 768; `None` to choose
            some of about 8.
        output_modes: Factors of the number of columns M, likewise.
        rank_regularizer: A rank regularizer of the cores.

    Raises:
        ValueError: If a rank is not a positive integer, alpha is not above 0, or modes are not
            positive integers.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> base = keras.Sequential([keras.Input((512,)), keras.layers.Dense(512, name="hidden")])
        >>> adapted = adapters.adapt(base, adapters.TTLoRA(rank=4), layers=["hidden"])
        >>> sum(weight.shape.num_elements() for weight in adapted.trainable_variables)
        576
    """

    rank: int = 5
    rank_regularizer: Any = None

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> TTAdapter:
        """Return an adapter with a TT tensor."""
        # The ranks are small at the ends, so there the larger factors are cheap.
        before, after = self.modes_for(kernel, path, _descending, usual_factors)
        regularizer = {"rank_regularizer": self.rank_regularizer}
        return TTAdapter(
            kernel,
            self.rank_of(path),
            (*before, *(1 for _ in after)),
            (*(1 for _ in before), *after),
            self.alpha_of(path),
            **regularizer,
            **kwargs,
        )


def _descending(dim: int) -> tuple[int, ...]:
    return usual_factors(dim)[::-1]


def usual_factors(dim: int) -> tuple[int, ...]:
    """Return factors of about 8, ascending, of a dimension or one a little larger.

    Args:
        dim: The dimension, a positive integer.

    Example:
        >>> usual_factors(768), usual_factors(30522)
        ((8, 8, 12), (6, 7, 9, 9, 9))
    """
    length = max(1, round(math.log(dim, _USUAL_MODE))) if dim > 1 else 1
    return min((balanced_modes(each, length) for each in padded_dims(dim)), key=sum)
