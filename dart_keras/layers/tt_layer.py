"""Base of all TT layers: their matrix, truncation, and saving."""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from dart_keras.layers.core_layer import CoreLayer
from dart_keras.layers.rank_gates import RankGates
from dart_keras.layers.replacement import DenseReplacement
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.layers.saving import load_variables, save_variables
from dart_keras.private_apis import owners_of, read_state_back
from dart_keras.tensor_train.contraction import cheapest_plan
from dart_keras.tensor_train.enlargement import enlarge
from dart_keras.tensor_train.ranks import (
    Ranks,
    complete_ranks,
    count_multiply_adds,
    count_parameters,
)
from dart_keras.tensor_train.tt_matrix import TTMatrix


class TTLayer(DenseReplacement, CoreLayer):
    """Base of the layers whose matrix is a TT matrix with ranks that can be truncated.

    The TT matrix may be larger than the layer's: the layer uses its first N rows and M columns, and
    the rest is padding.

    Not for use by itself: see `TTDense`, `TTEinsumDense` and `TTEmbedding`. A class that derives
    from it gets regularization, truncation, saving, summary and conversion. The hooks of
    `DenseReplacement` tell `compress` and `from_dense` of the Keras layer that it stands for.

    Attributes:
        quantizable: Whether `dart_keras.quantization.quantize_aware` covers the class: its weights
            are cores and at most a bias, and it multiplies by them as `contraction_plan` says, or
            looks up rows as `lookup_plan` says. Not inherited: a subclass may compute more.
    """

    quantizable: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.quantizable = vars(cls).get("quantizable", False)

    def __repr__(self) -> str:
        ranks = "-".join(map(str, self.ranks)) if self.built else f"{self.ranks}"
        name = type(self).__name__
        return f"<{name} name={self.name}, ranks={ranks}, built={self.built}>"

    def to_tt(self) -> TTMatrix:
        """Return the matrix that inference uses as a NumPy `TTMatrix`, including padding.

        Returns:
            A `dart_keras.tensor_train.TTMatrix` of float64 cores.

        Raises:
            ValueError: If the layer is not built.
        """
        self.check_built()
        for model in owners_of(self):
            read_state_back(model)
        arrays = [np.asarray(ops.convert_to_numpy(core), np.float64) for core in self._cores]
        if self.rank_gates is not None:
            for k, rank in enumerate(self.rank_gates.selected_ranks()[1:-1]):
                arrays[k] = np.where(np.arange(arrays[k].shape[3]) < rank, arrays[k], 0.0)
        return TTMatrix(tuple(arrays))

    def to_dense(self) -> np.ndarray:
        """Return the dense matrix of the layer.

        Returns:
            Array of shape (N, M) in the layer's variable dtype: the kernel of a `Dense`, or the
            table of an `Embedding`.
        """
        dense = self.to_tt().to_dense()[: self.matrix_shape[0], : self.matrix_shape[1]]
        return dense.astype(keras.backend.standardize_dtype(self.variable_dtype))

    def bond_singular_values(self) -> tuple[np.ndarray, ...]:
        """Return the descending singular values of each of the d - 1 bonds, including padding.

        Raises:
            ValueError: If the layer is not built, or its weights are not finite.
        """
        return self._finite_tt().bond_singular_values()

    def multiply_adds(self, ranks: Sequence[int]) -> int:
        """Return the multiply-adds for one row of the layer's inputs at some ranks.

        The default is the fewest for a product of one row with the matrix, core by core.

        Args:
            ranks: All d + 1 ranks, which need not be the present ones.
        """
        return count_multiply_adds(self.input_modes, self.output_modes, ranks)

    def microseconds(self, ranks: Sequence[int], target: str) -> float:
        """Return the estimated microseconds for one row of the layer's inputs on a device.

        The default is the time of the fastest order for a product of one row with the matrix whose
        merged cores have no more parameters than the cores.

        Args:
            ranks: All d + 1 ranks, which need not be the present ones.
            target: Name of a device that runs `.tflite` files.
        """
        shape = self.input_modes, self.output_modes, ranks
        most = count_parameters(*shape)
        return cheapest_plan(*shape, 1, target=target, max_parameters=most).microseconds

    def truncate(self, ranks: Ranks, fix_ranks: bool = False) -> float:
        """Truncate the ranks by TT-rounding (Oseledets 2011, algorithm 2).

        The optimizer state and compiled functions of models that have called the layer are adapted.
        So a callback may call this while `fit` runs.

        Args:
            ranks: An integer, the d - 1 inner ranks or all d + 1. Ranks above the present ones have
                no effect.
            fix_ranks: Whether the ranks are final, as after the last truncation of
                `RankDiscretization`: the rank regularizer and rank gates are dropped.

        Returns:
            The relative Frobenius error of the matrix, including padding.

        Raises:
            ValueError: If the layer is not built, its weights are not finite, or `ranks` is
                invalid. The layer is then unchanged.

        Example:
            >>> from dart_keras.layers import TTDense
            >>> layer = TTDense(16, ranks=4)
            >>> layer.build((None, 16))
            >>> error = layer.truncate(2)
            >>> layer.ranks
            (1, 2, 1)
        """
        resizing, error = self.plan_truncation(ranks, fix_ranks)
        resize([resizing])
        return error

    def plan_truncation(self, ranks: Ranks, fix_ranks: bool = False) -> tuple[Resizing, float]:
        """Return the `Resizing` and the relative error of a truncation, changing nothing.

        Args:
            ranks: The ranks to keep, as for `truncate`.
            fix_ranks: Whether the ranks are final, as for `truncate`.

        Raises:
            ValueError: If the layer is not built, its weights are not finite, or `ranks` is
                invalid.
        """
        rounded, maps, error = self._finite_tt().round_with_maps(ranks)
        return Resizing(self, rounded.cores, maps, fix_ranks), error

    def plan_growth(self, ranks: Ranks, rng: np.random.Generator) -> Resizing:
        """Return the `Resizing` that adds rank slices and leaves the matrix as it is.

        The new slices add nothing until they are trained: see `dart_keras.tensor_train.enlarge`.

        Args:
            ranks: The ranks to grow to, as for `truncate`. Ranks below the present ones have no
                effect.
            rng: Draws the new slices.

        Raises:
            ValueError: If the layer is not built, its weights are not finite, or `ranks` is
                invalid.
        """
        tt = self._finite_tt()
        complete = complete_ranks(ranks, self.input_modes, self.output_modes)
        larger = [max(new, old) for new, old in zip(complete, self.ranks, strict=True)]
        cores, maps = enlarge(tt.cores, larger, rng)
        return Resizing(self, cores, maps)

    def plan_redraw(self, ranks: Ranks) -> Resizing:
        """Return the `Resizing` that gives the layer new initial values of other ranks.

        Args:
            ranks: The ranks, as for `truncate`.

        Raises:
            ValueError: If the layer is not built or `ranks` is invalid.
        """
        self.check_built()
        complete = complete_ranks(ranks, self.input_modes, self.output_modes)
        return Resizing(self, self.drawn_cores(complete))

    def _finite_tt(self) -> TTMatrix:
        # First, because it reads back the state of a training that runs.
        tt = self.to_tt()
        if not self.is_finite:
            raise ValueError(
                f"Expected finite weights. Received: layer {self.name!r} with NaN or infinite "
                "values in its cores. Its ranks are unchanged"
            )
        return tt

    def save_own_variables(self, store: Any) -> None:
        """Save cores and bias by name, and whether the ranks are final."""
        save_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        """Load the weights, together with the saved ranks if they differ from the present ones.

        Raises:
            ValueError: If the saved weights have other modes or dimensions.
        """
        load_variables(self, store)

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shape of `build`, and the rank gates if there are any."""
        config = super().get_build_config()
        if config is not None and self.rank_gates is not None:
            config["rank_gates"] = keras.saving.serialize_keras_object(self.rank_gates)
        return config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer from a config of `get_build_config`."""
        config = dict(config)
        gates = config.pop("rank_gates", None)
        super().build_from_config(config)
        if gates is not None:
            # Files of earlier versions have the config of `RankGates` alone.
            is_object = "class_name" in gates
            self.add_rank_gates(
                keras.saving.deserialize_keras_object(gates)
                if is_object
                else RankGates.from_config(gates)
            )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the layer of a config from `get_config`."""
        config = dict(config)
        ranks_fixed = config.pop("ranks_fixed", False)
        layer = super().from_config(config)
        layer.ranks_fixed = ranks_fixed
        return layer

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes.

        Where the ranks are final, `ranks_fixed` as well.
        """
        return {
            **super().get_config(),
            **({"ranks_fixed": True} if self.ranks_fixed else {}),
            "ranks": self._ranks,
            "input_modes": self.input_modes,
            "output_modes": self.output_modes,
            "rank_regularizer": keras.regularizers.serialize(self.rank_regularizer),
        }
