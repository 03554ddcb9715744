"""MetaTT: one TT tensor over rows, layers, kinds of matrices and columns of a whole model."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.adapters.adapter import Adapter, AdditiveAdapter
from dart_keras.adapters.kernels import LayerKernel
from dart_keras.adapters.method import Method
from dart_keras.layers import TTLayer
from dart_keras.utils.argument_checks import is_integer, is_number


@keras.saving.register_keras_serializable("dart_keras")
class SharedTT(TTLayer):
    """The cores of one TT tensor that several adapters share: rows, layers, kinds, columns.

    It is a TT matrix with the modes (N, L, K, 1) and (1, 1, 1, M), so all that finds, truncates or
    counts ranks works on it. The last core starts at zero, all slices of the two between as the
    identity, and the first core as random numbers that do not change the size of what they
    multiply.
    """

    stands_for_dense = False

    def build(self, input_shape: Any = None) -> None:
        """Create the cores, which depend on the modes alone."""
        self.add_cores(math.prod(self.input_modes), math.prod(self.output_modes), "zeros")
        self._draw = partial(_with_identities, self._draw)
        for core, drawn in zip(self.cores, self.drawn_cores(self.ranks), strict=True):
            core.assign(drawn)
        self.built = True

    def multiply_adds(self, ranks: Sequence[int]) -> int:
        """Return the multiply-adds for one row of the inputs of each matrix.

        Args:
            ranks: All 5 ranks, which need not be the present ones.
        """
        rows, layers, kinds, _ = self.input_modes
        return layers * kinds * min(ranks[1], ranks[3]) * (rows + self.output_modes[3])


class MetaTTAdapter(AdditiveAdapter):
    """Adds the product with one matrix of a TT tensor that the adapters of other layers share.

    Args:
        kernel: The kernel of the layer.
        place: Index of the layer and of the kind of matrix in the tensor.
        sizes: How many layers and kinds there are in it.
        ranks: Its ranks.
        scale: What the product is multiplied by. It does not depend on the ranks.
        update: The cores, if another adapter has them already; `None` for new ones.
        **kwargs: `name`, `dtype` and so on, as for any Keras layer.

    Attributes:
        update: The cores.
    """

    def __init__(
        self,
        kernel: LayerKernel,
        place: Sequence[int],
        sizes: Sequence[int],
        ranks: Any,
        scale: float,
        update: SharedTT | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(kernel, **kwargs)
        layer, kind = self.place = tuple(int(each) for each in place)
        layers, kinds = self.sizes = tuple(int(each) for each in sizes)
        self.scale = float(scale)
        rows, columns = kernel.shape
        modes = (rows, layers, kinds, 1), (1, 1, 1, columns)
        if update is None:
            update = SharedTT(ranks, *modes, None, name=f"{self.name}_update", dtype="float32")
        if not update.built:
            update.build()
        given = {"modes": (update.input_modes, update.output_modes), "ranks": list(update.ranks)}
        if given != (own := {"modes": modes, "ranks": list(ranks)}):
            raise ValueError(f"Expected shared cores with {own}. Received: {given}")
        if not (0 <= layer < layers and 0 <= kind < kinds):
            raise ValueError(f"Expected a place within {self.sizes}. Received: {self.place}")
        self.update = update

    def call(
        self, inputs: Any, outputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        """Return the layer's outputs and the scaled product with the matrix of the layer."""
        return self.add_product(inputs, outputs, reverse, self._factors(training))

    def factors(self) -> tuple[Any, Any]:
        """Return the two factors of the layer's matrix, as inference uses them."""
        return self._factors(training=False)

    def _factors(self, training: bool | None) -> tuple[Any, Any]:
        first, layers, kinds, last = self.update.cores_in_use(training)
        layer, kind = self.place
        left = ops.reshape(first, first.shape[1::2])
        right = ops.reshape(last, last.shape[::2])
        between = ops.matmul(layers[:, layer, 0, :], kinds[:, kind, 0, :])
        between = ops.multiply(self.scale, between)
        # What every row is multiplied by has the smaller one of the two ranks.
        if between.shape[0] <= between.shape[1]:
            return left, ops.matmul(between, right)
        return ops.matmul(left, between), right

    def shared(self) -> dict[str, Any]:
        """Return the cores."""
        return {"update": self.update}

    def settings(self) -> dict[str, Any]:
        """Return the place in the tensor, its sizes and present ranks, and the scale."""
        names = ("place", "sizes", "scale")
        settings = {name: getattr(self, name) for name in names}
        return {**settings, "ranks": list(self.update.ranks)}

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; Keras notes that the cores are shared."""
        update = keras.saving.serialize_keras_object(self.update)
        return {**super().get_config(), "update": update}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the adapter of a config from `get_config`."""
        update = keras.saving.deserialize_keras_object(config["update"])
        return super().from_config({**config, "update": update})


@dataclass(frozen=True, kw_only=True)
class MetaTT(Method):
    """MetaTT (Lopez-Piqueres et al. 2025, arXiv:2506.09105): one TT tensor for the whole model.

    Its four cores are over the rows, the layers, the kinds of matrices and the columns. The change
    of the kernel of kind k in layer l is alpha G_1 G_2[l] G_3[k] G_4. All layers with kernels of
    one shape share a tensor. The kind is the last part of a path, such as "query", and the layer is
    the rest of it. N r + (L + K) r^2 + M r parameters are trained for L layers with K kinds.

    The last core starts at zero and the slices of those between as the identity, so all layers
    begin with the same first matrix.

    In the paper neighbouring cores are merged and split with falling ranks between epochs. Here
    `dart_keras.callbacks.RankDiscretization` learns the ranks, as for any TT layer.

    Attributes:
        rank: Rank at all three bonds at the start.
        alpha: What the change is multiplied by. It is not divided by the rank.
        rank_regularizer: A rank regularizer of the cores.

    Raises:
        ValueError: If the rank is not a positive integer, or alpha is not above 0.

    Example:
        >>> import keras
        >>> from dart_keras import adapters
        >>> x = keras.Input((5, 16))
        >>> hidden = keras.layers.MultiHeadAttention(2, 8, name="first")(x, x)
        >>> hidden = keras.layers.MultiHeadAttention(2, 8, name="second")(hidden, hidden)
        >>> base = keras.Model(x, hidden)
        >>> adapted = adapters.adapt(base, adapters.MetaTT(rank=3), layers=["query", "value"])
        >>> [tuple(weight.shape) for weight in adapted.trainable_variables]
        [(1, 16, 1, 3), (3, 2, 1, 3), (3, 2, 1, 3), (3, 1, 16, 1)]
    """

    rank: int = 8
    alpha: float = 4
    rank_regularizer: Any = None

    def __post_init__(self) -> None:
        if not is_integer(self.rank) or self.rank < 1:
            raise ValueError(
                f"Expected `rank` of `MetaTT` to be a positive integer. Received: {self.rank!r}"
            )
        if not is_number(self.alpha) or self.alpha <= 0:
            raise ValueError(f"Expected alpha of `MetaTT` above 0. Received: alpha={self.alpha!r}")

    def adapter_for(self, kernel: LayerKernel, path: str, **kwargs: Any) -> Adapter:
        """Return the adapter of a layer that shares its cores with no other one."""
        return self.adapters_for({path: kernel}, {path: kwargs})[path]

    def adapters_for(
        self, kernels: Mapping[str, LayerKernel], arguments: Mapping[str, dict[str, Any]]
    ) -> dict[str, Adapter]:
        """Return the adapters of all layers; those with kernels of one shape share cores."""
        if tables := [path for path, kernel in kernels.items() if kernel.looks_up]:
            raise ValueError(
                "Expected layers for `MetaTT` that multiply by a kernel. Received: layers "
                f"{tables}, which look up rows of a table"
            )
        groups: dict[tuple[int, int], list[str]] = {}
        for path, kernel in kernels.items():
            groups.setdefault(kernel.shape, []).append(path)
        adapters: dict[str, Adapter] = {}
        for (rows, columns), paths in groups.items():
            parts = {path: path.rpartition("/")[::2] for path in paths}
            layers, kinds = (
                list(dict.fromkeys(each)) for each in zip(*parts.values(), strict=True)
            )
            sizes = len(layers), len(kinds)
            update = SharedTT(
                self.rank,
                (rows, *sizes, 1),
                (1, 1, 1, columns),
                self.rank_regularizer,
                name=f"{arguments[paths[0]]['name']}_update",
                dtype="float32",
            )
            update.build()
            for path, (layer, kind) in parts.items():
                place = layers.index(layer), kinds.index(kind)
                own = {"ranks": update.ranks, "scale": self.alpha, "update": update}
                adapters[path] = MetaTTAdapter(
                    kernels[path], place, sizes, **own, **arguments[path]
                )
        return {path: adapters[path] for path in kernels}


def _with_identities(
    draw: Callable[..., list[np.ndarray]], ranks: Sequence[int]
) -> list[np.ndarray]:
    first, layers, kinds, last = draw(ranks=ranks)
    for core in (layers, kinds):
        core[:] = np.eye(len(core), core.shape[3])[:, None, None]
    return [first, layers, kinds, last]
