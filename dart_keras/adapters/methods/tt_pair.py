"""Base of the adapters that narrow and widen again, by two TT matrices."""

from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.adapters.adapter import KernelAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.layers import TTDense


class TTPairAdapter(KernelAdapter):
    """Base of the adapters with two TT matrices, of which the second one starts at zero.

    Args:
        kernel: The kernel of the layer.
        rows: Rows of the first matrix. The second one has the M columns of the kernel.
        width: Columns of the first matrix and rows of the second one.
        modes: Three lists: factors of the rows, of the width and of the columns.
        ranks: The TT ranks of each matrix.
        use_bias: Whether the TT layers have biases.
        rank_regularizer: Rank regularizer of both TT layers.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Attributes:
        first: The TT layer of the first matrix.
        second: The TT layer of the second matrix.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        rows: int,
        width: int,
        modes: Sequence[Sequence[int]],
        ranks: Sequence[Any],
        use_bias: bool,
        rank_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel, **kwargs)
        self.width = int(width)
        self.modes = tuple(tuple(each) for each in modes)
        before, between, after = self.modes
        shared: dict[str, Any] = {
            "use_bias": use_bias,
            "rank_regularizer": keras.regularizers.get(rank_regularizer),
            "dtype": self.dtype_policy,
        }
        first = {"core_initializer": "he_uniform", "name": f"{self.name}_first", **shared}
        self.first = TTDense(self.width, ranks[0], **_chained(before, between), **first)
        self.first.build((None, rows))
        # The last core is zero, the others are random.
        second = {"core_initializer": "zeros", "name": f"{self.name}_second", **shared}
        self.second = TTDense(kernel.shape[1], ranks[1], **_chained(between, after), **second)
        self.second.build((None, self.width))
        self.first.stands_for_dense = self.second.stands_for_dense = False

    def settings(self) -> dict[str, Any]:
        """Return the width, the modes and the present ranks."""
        ranks = [list(layer.ranks) for layer in (self.first, self.second)]
        return {"width": self.width, "modes": [list(each) for each in self.modes], "ranks": ranks}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks."""
        regularizer = keras.regularizers.serialize(self.first.rank_regularizer)
        return {**super().get_config(), "rank_regularizer": regularizer}


def _chained(before: Sequence[int], after: Sequence[int]) -> dict[str, Any]:
    """Return the modes of one tensor over the factors of the rows, then those of the columns."""
    return {
        "input_modes": (*before, *(1 for _ in after)),
        "output_modes": (*(1 for _ in before), *after),
    }
