"""Base of all TT layers: the cores, their ranks, and truncation."""

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from dart_keras.layers.core_initializer import initial_cores
from dart_keras.layers.rank_gates import RankGates
from dart_keras.layers.replacement import DenseReplacement
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.layers.saving import load_variables, save_variables
from dart_keras.private_apis import (
    changing_state,
    note_calling_model,
    owners_of,
    read_state_back,
    remove_sublayer,
    replace_variables,
)
from dart_keras.tensor_train.modes import check_modes, check_same_length, complete_modes
from dart_keras.tensor_train.ranks import Ranks, check_ranks, complete_ranks
from dart_keras.tensor_train.tt_matrix import TTMatrix


class TTLayer(DenseReplacement, keras.layers.Layer):
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

    def __init__(
        self,
        ranks: Ranks,
        input_modes: Sequence[int] | None,
        output_modes: Sequence[int] | None,
        rank_regularizer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # As given until the layer is built, complete tuples from then on.
        self._ranks: Any = check_ranks(ranks)
        self.input_modes: Any = (
            input_modes if input_modes is None else check_modes("input_modes", input_modes)
        )
        self.output_modes: Any = (
            output_modes if output_modes is None else check_modes("output_modes", output_modes)
        )
        if self.input_modes is not None and self.output_modes is not None:
            check_same_length(self.input_modes, self.output_modes)
        self.rank_regularizer = keras.regularizers.get(rank_regularizer)
        self.ranks_fixed = False
        self.contraction = "auto"
        self.warned_of_slowness = False
        self.rank_gates: RankGates | None = None
        self._cores: list[keras.Variable] = []
        self.matrix_shape: Any = None  # (N, M) once the layer is built

    def add_cores(
        self, input_dim: int, output_dim: int, initializer: Any, is_table: bool = False
    ) -> None:
        """Complete modes and ranks, and create the cores. `build` must call this.

        In a table, the core with the most rows starts with elements as small as an embedding's. Its
        slices are used as rarely as a word occurs, so they must learn as fast.

        Args:
            input_dim: The number of rows N of the matrix.
            output_dim: The number of columns M of the matrix.
            initializer: A Keras initializer for a dense matrix, whose variance the cores get, or
                `"orthogonal"`.
            is_table: Whether rows of the matrix are looked up.
        """
        self.matrix_shape = (input_dim, output_dim)
        self.input_modes, self.output_modes = complete_modes(
            input_dim, output_dim, self.input_modes, self.output_modes
        )
        self._ranks = complete_ranks(self._ranks, self.input_modes, self.output_modes)
        shape = (self.input_modes, self.output_modes, self._ranks)
        carrier = int(np.argmax(self.input_modes)) if is_table else None
        cores = initial_cores(initializer, *shape, self.matrix_shape, carrier)
        self._cores = self._add_core_weights(cores)

    def _add_core_weights(self, cores: Sequence[np.ndarray]) -> list[keras.Variable]:
        return [
            self.add_weight(
                shape=core.shape,
                initializer=lambda shape, dtype, core=core: ops.convert_to_tensor(core, dtype),
                regularizer=self.rank_regularizer,
                name=f"core_{k}",
            )
            for k, core in enumerate(cores)
        ]

    def check_built(self) -> None:
        """Check that the layer has cores.

        Raises:
            ValueError: If it has none, because it is not built.
        """
        if not self.built:
            raise ValueError(
                f"Expected a built layer. Received: layer {self.name!r}, which has no cores yet. "
                "Call it on data or call its `build` first"
            )

    @property
    def cores(self) -> list[keras.Variable]:
        """Variables G_1...G_d, of shape (r_{k-1}, n_k, m_k, r_k)."""
        return list(self._cores)

    @property
    def ranks(self) -> Any:
        """All d + 1 present ranks; before the layer is built, the given ranks."""
        return self._ranks

    def __repr__(self) -> str:
        ranks = "-".join(map(str, self.ranks)) if self.built else f"{self.ranks}"
        name = type(self).__name__
        return f"<{name} name={self.name}, ranks={ranks}, built={self.built}>"

    @property
    def variables(self) -> list[keras.Variable]:
        """All state, as of any Keras layer; on JAX, also the rank regularizer's strength.

        A compiled JAX function sees only changes of what is passed to it.
        """
        variables = super().variables
        strength = getattr(self.rank_regularizer, "strength", None)
        if keras.backend.backend() == "jax" and isinstance(strength, keras.Variable):
            variables.append(strength)
        return variables

    @property
    def is_finite(self) -> bool:
        """Whether the cores have neither NaN nor infinite values."""
        return all(np.all(np.isfinite(ops.convert_to_numpy(core))) for core in self._cores)

    def cores_in_use(self, training: bool | None = None) -> list[Any]:
        """Return the cores as `call` uses them: in the compute dtype, with rank gates applied.

        Args:
            training: Whether rank gates draw ranks.
        """
        note_calling_model(self)
        cores = [ops.cast(core, self.compute_dtype) for core in self._cores]
        return cores if self.rank_gates is None else self.rank_gates(cores, training=training)

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
        """Return the descending singular values of each of the d - 1 bonds, including padding."""
        return self.to_tt().bond_singular_values()

    def multiply_adds(self, ranks: Sequence[int]) -> int:
        """Return the multiply-adds for one row of the layer's inputs at some ranks.

        Args:
            ranks: All d + 1 ranks, which need not be the present ones.

        Raises:
            NotImplementedError: If the class does not override it.
        """
        raise NotImplementedError

    def truncate(self, ranks: Ranks) -> float:
        """Truncate the ranks by TT-rounding (Oseledets 2011, algorithm 2).

        The optimizer state and compiled functions of models that have called the layer are adapted.
        So a callback may call this while `fit` runs.

        Args:
            ranks: An integer, the d - 1 inner ranks or all d + 1. Ranks above the present ones have
                no effect.

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
        resizing, error = self.plan_truncation(ranks)
        resize([resizing])
        return error

    def plan_truncation(self, ranks: Ranks, fix_ranks: bool = False) -> tuple[Resizing, float]:
        """Return the `Resizing` and the relative error of a truncation, changing nothing.

        Args:
            ranks: The ranks to keep, as for `truncate`.
            fix_ranks: Whether the ranks are final afterwards.

        Raises:
            ValueError: If the layer is not built, its weights are not finite, or `ranks` is
                invalid.
        """
        tt = self.to_tt()
        if not self.is_finite:
            raise ValueError(
                f"Expected finite weights. Received: layer {self.name!r} with NaN or infinite "
                "values in its cores. Its ranks are unchanged"
            )
        rounded, maps, error = tt.round_with_maps(ranks)
        return Resizing(self, rounded.cores, maps, fix_ranks), error

    def replace_cores(self, cores: Sequence[np.ndarray]) -> list[keras.Variable]:
        """Replace the cores without adapting models; use `resize` for that.

        Args:
            cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k), of the layer's modes.

        Returns:
            The new variables.
        """
        new = replace_variables(self, self._cores, lambda: self._add_core_weights(cores))
        with changing_state(self):
            self._cores = new
        self._ranks = (1, *(core.shape[3] for core in cores))
        if (gates := self.rank_gates) is not None:
            self._drop_rank_gates()
            self.add_rank_gates(gates.resized(self._ranks))
        return self.cores

    def add_rank_gates(self, gates: RankGates) -> None:
        """Let trainable gates choose the ranks, until `forget_adaptation`.

        Args:
            gates: Gates for the layer's modes and ranks.
        """
        with changing_state(self):
            self.rank_gates = gates
        if not gates.built:
            gates.build()

    def forget_adaptation(self) -> None:
        """Make the ranks final: drop the rank regularizer and the rank gates."""
        self.rank_regularizer = None
        for core in self._cores:
            core.regularizer = None
        self._drop_rank_gates()
        self.ranks_fixed = True

    def _drop_rank_gates(self) -> None:
        if self.rank_gates is not None:
            remove_sublayer(self, "rank_gates")

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
            config["rank_gates"] = self.rank_gates.get_config()
        return config

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build the layer from a config of `get_build_config`."""
        config = dict(config)
        gates = config.pop("rank_gates", None)
        super().build_from_config(config)
        if gates is not None:
            self.add_rank_gates(RankGates.from_config(gates))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes."""
        return {
            **super().get_config(),
            "ranks": self._ranks,
            "input_modes": self.input_modes,
            "output_modes": self.output_modes,
            "rank_regularizer": keras.regularizers.serialize(self.rank_regularizer),
        }
