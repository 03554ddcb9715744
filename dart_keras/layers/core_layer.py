"""Layers with the cores of a TT matrix: their variables, ranks and rank gates."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.core_initializer import initial_cores
from dart_keras.layers.slice_gates import SliceGates
from dart_keras.private_apis import (
    changing_state,
    note_calling_model,
    note_compiling_function,
    remove_sublayer,
    replace_variables,
)
from dart_keras.tensor_train.modes import check_modes, check_same_length, complete_modes
from dart_keras.tensor_train.ranks import Ranks, check_ranks, complete_ranks


class CoreLayer(keras.layers.Layer):
    """Base of `TTLayer`: a layer whose weights are cores, which can be replaced by smaller ones.

    What it does changes this layer alone. `resize` adapts the models that have called it.

    Attributes:
        input_modes: Modes n_1...n_d of the rows; before the layer is built, the given ones.
        output_modes: Modes m_1...m_d of the columns; before the layer is built, the given ones.
        matrix_shape: Shape (N, M) of the matrix without padding, once the layer is built.
        rank_gates: Rank gates, or `None`.
        ranks_fixed: Whether the ranks are final.
        stands_for_dense: Whether a dense layer could be in its place, so that it must not be larger
            or slower than that.
        resize_callbacks: The functions given to `on_resize`.
    """

    stands_for_dense = True

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
        self.rank_gates: SliceGates | None = None
        self.resize_callbacks: tuple[Callable[[CoreLayer], Any], ...] = ()
        self._cores: list[keras.Variable] = []
        self._draw: Callable[..., list[np.ndarray]] = initial_cores
        self._drawn: list[np.ndarray] = []
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
            initializer: A Keras initializer for a dense matrix, or its name. The cores get its
                variance; with `"orthogonal"` they are orthogonal.
            is_table: Whether rows of the matrix are looked up.

        Raises:
            ValueError: If the layer's variables are not to be of a float dtype.
        """
        if not keras.backend.is_float_dtype(self.variable_dtype):
            raise ValueError(
                f"Expected layer {self.name!r} to have a float dtype. "
                f"Received: dtype={self.variable_dtype!r}"
            )
        self.matrix_shape = (input_dim, output_dim)
        self.input_modes, self.output_modes = complete_modes(
            input_dim, output_dim, self.input_modes, self.output_modes
        )
        self._ranks = complete_ranks(self._ranks, self.input_modes, self.output_modes)
        self._draw = partial(
            initial_cores,
            keras.initializers.get(initializer),
            self.input_modes,
            self.output_modes,
            shape=self.matrix_shape,
            carrier=int(np.argmax(self.input_modes)) if is_table else None,
        )
        self._cores = self._add_core_weights(self.drawn_cores(self._ranks))

    def drawn_cores(self, ranks: Sequence[int]) -> list[np.ndarray]:
        """Return new initial values for cores of some ranks, and remember some of their elements.

        Args:
            ranks: All d + 1 ranks.
        """
        cores = self._draw(ranks=ranks)
        self._drawn = [_some_elements(core) for core in cores]
        return cores

    @property
    def is_untrained(self) -> bool:
        """Whether the cores still have the values that were drawn last."""
        return len(self._drawn) == len(self._cores) and all(
            # Variables may be of low precision.
            drawn.shape == (now := _some_elements(ops.convert_to_numpy(core))).shape
            and np.allclose(now.astype(np.float64), drawn, rtol=0.01)
            for drawn, core in zip(self._drawn, self._cores, strict=True)
        )

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

    @property
    def variables(self) -> list[keras.Variable]:
        """All state, as of any Keras layer; on JAX, also that of the rank regularizer.

        A compiled JAX function sees only changes of what is passed to it.
        """
        variables = super().variables
        if keras.backend.backend() == "jax":
            variables += getattr(self.rank_regularizer, "variables", [])
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
        note_compiling_function(self, self._cores[0])
        cores = [ops.cast(core, self.compute_dtype) for core in self._cores]
        return cores if self.rank_gates is None else self.rank_gates(cores, training=training)

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
            self.drop_rank_gates()
            self.add_rank_gates(gates.resized(self._ranks))
        return self.cores

    def on_resize(self, callback: Callable[[Any], Any]) -> None:
        """Call a function whenever the layer's cores have been replaced by others.

        That is, after `truncate`, after a cut by `RankDiscretization` and after weights of other
        ranks have been loaded. Models are adapted by then. Training loops of your own make there
        what holds the variables of the layer: a `tf.function`, the arrays of a loop in JAX, an
        optimizer of PyTorch.

        Args:
            callback: A function of the layer. What it returns is ignored.

        Example:
            >>> from dart_keras.layers import TTDense
            >>> layer = TTDense(16, ranks=4)
            >>> layer.build((None, 16))
            >>> layer.on_resize(lambda layer: print(layer.ranks))
            >>> error = layer.truncate(2)
            (1, 2, 1)
        """
        self.resize_callbacks = (*self.resize_callbacks, callback)

    def add_rank_gates(self, gates: SliceGates) -> None:
        """Let gates mask the rank slices, until `drop_rank_gates` or `forget_adaptation`.

        Args:
            gates: Gates for the layer's modes and ranks.
        """
        with changing_state(self):
            self.rank_gates = gates
        if not gates.built:
            gates.build()
        if not self.trainable:
            gates.trainable = False

    def forget_adaptation(self) -> None:
        """Make the ranks final: drop the rank regularizer and the rank gates."""
        self.rank_regularizer = None
        for core in self._cores:
            core.regularizer = None
        self.drop_rank_gates()
        self.ranks_fixed = True

    def drop_rank_gates(self) -> None:
        """Use all rank slices again. Models are not adapted; use `update_owner` for that."""
        if self.rank_gates is not None:
            remove_sublayer(self, "rank_gates")


def _some_elements(core: np.ndarray) -> np.ndarray:
    elements = core.ravel()
    return elements[:: max(1, len(elements) // 64)]
