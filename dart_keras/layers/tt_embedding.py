import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.layers.dense_comparison import warn_if_dense_is_better
from dart_keras.layers.lookup import checked_ids, lookup, lookup_plan_for
from dart_keras.layers.padding import first_columns, pad_columns
from dart_keras.layers.planning import count_rows, plan_for
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import set_mask
from dart_keras.tensor_train.contraction import ContractionPlan, contract
from dart_keras.tensor_train.lookup import LookupPlan, plan_lookup
from dart_keras.tensor_train.modes import check_modes
from dart_keras.tensor_train.ranks import Ranks
from dart_keras.utils.argument_checks import is_integer


@keras.saving.register_keras_serializable("dart_keras")
class TTEmbedding(TTLayer):
    """An embedding whose table is a TT matrix, and which can project back to the vocabulary.

    It replaces `keras.layers.Embedding`, and `keras.layers.ReversibleEmbedding` with tied weights.
    A lookup uses only the slices of the looked-up rows and never computes the table (Khrulkov et
    al. 2019, "Tensorized Embedding Layers for Efficient Model Compression", section 3).

    Args:
        input_dim: Positive integer, the size of the vocabulary.
        output_dim: Positive integer, the size of an embedding.
        ranks: Initial ranks: an integer for all bonds, the d - 1 inner ranks, or all d + 1. Ranks
            above what the modes allow are clipped.
        input_modes: Integers n_1...n_d whose product is `input_dim`. With a larger product, below
            twice the size, further rows are not used. `None` to choose them.
        output_modes: As many integers m_1...m_d for `output_dim`, likewise. `None` to choose them.
        embeddings_initializer: A Keras initializer for the table. The cores are drawn so that the
            table has the variance of the initializer.
        rank_regularizer: A regularizer of each core, such as
            `dart_keras.regularizers.NuclearNorm`.
        mask_zero: Whether id 0 is padding that later layers mask.
        **kwargs: `name`, `dtype`, `trainable` and so on, as for any Keras layer.

    Call arguments:
        inputs: Ids, an integer tensor of any shape with entries in [0, input_dim); with
            `reverse=True`, a float tensor `(..., output_dim)`.
        reverse: Whether to multiply by the transposed table instead of looking up.

    Output shape:
        `(*inputs.shape, output_dim)`; with `reverse=True`, `(..., input_dim)`.

    Raises:
        ValueError: If the modes do not match the dimension, the ranks are not positive integers or
            have the wrong number, or another argument is invalid.
        tensorflow.errors.InvalidArgumentError: If an id is out of range (TensorFlow without XLA).

    Example:
        >>> embedding = TTEmbedding(10_000, 256, ranks=16)
        >>> hidden = embedding(keras.ops.array([[3, 1, 4], [1, 5, 9]]))
        >>> hidden.shape, embedding(hidden, reverse=True).shape
        (TensorShape([2, 3, 256]), TensorShape([2, 3, 10000]))
        >>> embedding.count_params()  # an Embedding has 2,560,000
        51200
    """

    replaces = (keras.layers.Embedding, keras.layers.ReversibleEmbedding)
    is_table = True
    quantizable = True

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        ranks: Ranks = 8,
        input_modes: Sequence[int] | None = None,
        output_modes: Sequence[int] | None = None,
        embeddings_initializer: Any = "uniform",
        rank_regularizer: Any = None,
        mask_zero: bool = False,
        **kwargs: Any,
    ) -> None:
        for name, dim in (("input_dim", input_dim), ("output_dim", output_dim)):
            if not is_integer(dim) or dim <= 0:
                raise ValueError(
                    f"Expected `{name}` to be a positive integer. Received: {name}={dim!r}"
                )
        super().__init__(ranks, input_modes, output_modes, rank_regularizer, **kwargs)
        self.input_dim = int(input_dim)
        self.output_dim = int(output_dim)
        if self.input_modes is not None:
            check_modes("input_modes", self.input_modes, self.input_dim)
        if self.output_modes is not None:
            check_modes("output_modes", self.output_modes, self.output_dim)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        # Float ids must not be rounded to half precision.
        self.autocast = False

    @property
    def tie_weights(self) -> bool:
        """True, as in `keras.layers.ReversibleEmbedding` with one table for both directions."""
        return True

    def build(self, input_shape: Any = None) -> None:
        """Create the cores, which do not depend on the shape of the input."""
        self.add_cores(self.input_dim, self.output_dim, self.embeddings_initializer, is_table=True)
        self.built = True

    def call(self, inputs: Any, reverse: bool = False, training: bool | None = None) -> Any:
        """Return embeddings of ids, or, with `reverse=True`, logits over the vocabulary.

        Args:
            inputs: Integer tensor of any shape, or a float tensor (..., output_dim).
            reverse: Whether to multiply by the transposed table instead of looking up.
            training: Whether rank gates, if there are any, draw ranks.

        Returns:
            Tensor in the compute dtype.
        """
        cores = self.cores_in_use(training)
        warn_if_dense_is_better(self, training)
        if reverse:
            return self._logits(ops.cast(inputs, self.compute_dtype), cores, training)
        ids = checked_ids(inputs, self.input_dim, self.name)
        plan = self.lookup_plan(count_rows(ids.shape), training)
        rows = first_columns(lookup(ops.reshape(ids, (-1,)), cores, plan), self.output_dim)
        outputs = ops.reshape(rows, (*ops.shape(ids), self.output_dim))
        if self.mask_zero:
            set_mask(outputs, ops.not_equal(ids, 0))
        return outputs

    def lookup_plan(self, count: int | None = None, training: bool | None = None) -> LookupPlan:
        """Return the plan for lookups in the table at the present ranks.

        Args:
            count: Number of ids; `None` if unknown.
            training: Whether gradients are needed.

        Returns:
            A `dart_keras.tensor_train.lookup.LookupPlan`, which prints itself with its costs.

        Raises:
            ValueError: If the layer is not built.

        Example:
            >>> layer = TTEmbedding(1000, 64, ranks=4, input_modes=(10, 10, 10))
            >>> layer.build()
            >>> [(factor.first, factor.last) for factor in layer.lookup_plan(4096).factors]
            [(0, 2)]
        """
        self.check_built()
        return lookup_plan_for(self, count, training)

    def multiply_adds(self, ranks: Sequence[int]) -> int:
        """Return the multiply-adds of looking up one row of the table, core by core.

        Args:
            ranks: All d + 1 ranks, which need not be the present ones.
        """
        modes = self.input_modes, self.output_modes
        return plan_lookup(1, *modes, ranks, target="microcontroller").multiply_adds

    def microseconds(self, ranks: Sequence[int], target: str) -> float:
        """Return the estimated microseconds of looking up one row of the table on a device.

        Args:
            ranks: All d + 1 ranks, which need not be the present ones.
            target: Name of a device that runs `.tflite` files.
        """
        modes = self.input_modes, self.output_modes
        return plan_lookup(1, *modes, ranks, target=target).microseconds

    def contraction_plan(
        self, rows: int | None = None, training: bool | None = None
    ) -> ContractionPlan:
        """Return the plan for products with the transpose of the table (`reverse=True`).

        Args:
            rows: Product of the input's axes but the last; `None` if unknown.
            training: Whether gradients are needed.

        Returns:
            A `dart_keras.tensor_train.ContractionPlan`, as from `TTDense.contraction_plan`.
        """
        self.check_built()
        return plan_for(self, self.output_modes, self.input_modes, rows, training)

    def _logits(self, x: Any, cores: Sequence[Any], training: bool | None) -> Any:
        plan = self.contraction_plan(count_rows(x.shape[:-1]), training)
        transposed = [ops.transpose(core, (0, 2, 1, 3)) for core in cores]
        rows = pad_columns(ops.reshape(x, (-1, self.output_dim)), math.prod(self.output_modes))
        logits = first_columns(contract(rows, transposed, plan), self.input_dim)
        return ops.reshape(logits, (*ops.shape(x)[:-1], self.input_dim))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Return no mask, because a lookup with `mask_zero` sets its mask itself."""
        return None

    def compute_output_shape(
        self, input_shape: Sequence[int | None], reverse: bool = False
    ) -> tuple[int | None, ...]:
        """Return the shape of the output for an input of the given shape."""
        if reverse:
            return (*input_shape[:-1], self.input_dim)
        return (*input_shape, self.output_dim)

    def compute_output_spec(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> keras.KerasTensor:
        """Return shape and dtype of the output, without computing it."""
        shape = self.compute_output_shape(inputs.shape, reverse)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "mask_zero": self.mask_zero,
        }

    @classmethod
    def check_replaceable(cls, layer: Any) -> None:
        """Raise a ValueError unless the layer is an `Embedding` whose table is all it has."""
        super().check_replaceable(layer)
        plain = {"tie_weights": True, "logit_soft_cap": None, "reverse_dtype": None}
        others = [
            f"{name}={value!r}"
            for name, default in plain.items()
            if (value := getattr(layer, name, default)) != default
        ]
        if others:
            raise ValueError(
                "Expected a built `Embedding`, or a `ReversibleEmbedding` with tied weights and "
                "without `logit_soft_cap` and `reverse_dtype`. "
                f"Received: {', '.join([repr(layer), *others])}"
            )

    @classmethod
    def dense_matrix(cls, layer: keras.layers.Embedding) -> np.ndarray:
        """Return the table, of shape (input_dim, output_dim)."""
        return ops.convert_to_numpy(layer.embeddings)

    @classmethod
    def build_like(
        cls,
        layer: keras.layers.Embedding,
        ranks: Ranks,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        rank_regularizer: Any = None,
        column_bias: bool = False,
    ) -> Self:
        """Return a built `TTEmbedding` that does with ids what an `Embedding` does."""
        tt = cls(
            layer.input_dim,
            layer.output_dim,
            ranks,
            input_modes,
            output_modes,
            embeddings_initializer=layer.embeddings_initializer,
            rank_regularizer=rank_regularizer,
            mask_zero=layer.mask_zero,
            name=layer.name,
            dtype=layer.dtype_policy,
            trainable=layer.trainable,
        )
        tt.build()
        return tt
