"""Base of the layers with a kernel: the product, the bias, the activation."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.layers.dense_comparison import warn_if_dense_is_better
from dart_keras.layers.padding import first_columns, pad_columns
from dart_keras.layers.planning import check_contraction, count_rows, plan_for
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.tensor_train.contraction import ContractionPlan, contract
from dart_keras.tensor_train.ranks import Ranks


class TTKernelLayer(TTLayer):
    """Base of the layers that multiply rows by a TT matrix, then add a bias and activate.

    Not for use by itself: see `TTDense` and `TTEinsumDense`, whose arguments of the same names are
    explained there.
    """

    def __init__(
        self,
        ranks: Ranks = 8,
        input_modes: Sequence[int] | None = None,
        output_modes: Sequence[int] | None = None,
        rank_regularizer: Any = None,
        activation: Any = None,
        core_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        bias_regularizer: Any = None,
        bias_constraint: Any = None,
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(ranks, input_modes, output_modes, rank_regularizer, **kwargs)
        self.activation = keras.activations.get(activation)
        self.core_initializer = keras.initializers.get(core_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.contraction = check_contraction(contraction)
        self.bias: Any = None

    def add_bias(self, shape: Sequence[int]) -> None:
        """Create the bias. `build` must call this after `add_cores`.

        Args:
            shape: The shape of the bias.
        """
        self.bias = self.add_weight(
            name="bias",
            shape=tuple(shape),
            initializer=self.bias_initializer,
            regularizer=self.bias_regularizer,
            constraint=self.bias_constraint,
        )

    def multiply(self, rows: Any, count: int, training: bool | None) -> Any:
        """Multiply rows by the kernel.

        Args:
            rows: Tensor of shape (rows, N).
            count: About how many rows there are, to plan for.
            training: Whether gradients are needed, and rank gates draw ranks.

        Returns:
            Tensor of shape (rows, M) in the compute dtype.
        """
        warn_if_dense_is_better(self, training)
        cores = self.cores_in_use(training)
        plan = self.contraction_plan(count, training)
        outputs = contract(pad_columns(rows, math.prod(self.input_modes)), cores, plan)
        return first_columns(outputs, self.matrix_shape[1])

    def contraction_plan(
        self, rows: int | None = None, training: bool | None = None
    ) -> ContractionPlan:
        """Return the plan for products with the kernel at the present ranks.

        Args:
            rows: Number of rows of the input: the product of the axes that it keeps. `None` if
                unknown.
            training: Whether gradients are needed.

        Returns:
            A `dart_keras.tensor_train.ContractionPlan`, which prints its costs compared with a
            dense layer.

        Raises:
            ValueError: If the layer is not built.

        Example:
            >>> from dart_keras.layers import TTDense
            >>> layer = TTDense(1024, ranks=4)
            >>> layer.build((None, 1024))
            >>> layer.contraction_plan(rows=128).name
            'left_to_right'
        """
        self.check_built()
        return plan_for(self, self.input_modes, self.output_modes, rows, training)

    def product_rows(self, input_shape: Sequence[int | None]) -> int:
        """Return how many rows the layer multiplies for one input of a batch.

        A hook of quantization-aware training. By default the input's axes but the batch are cut
        into rows of N elements.

        Args:
            input_shape: The shape of a batch of inputs, `None` for sizes that are not known.
        """
        return count_rows(input_shape[1:]) // self.matrix_shape[0]

    def product_is_output(self, ndim: int, activation: Any) -> bool:
        """Return whether the product's rows are the outputs, but for bias and activation.

        A hook of quantization-aware training: a device then computes bias and activation in the
        operator of the last product. By default they are.

        Args:
            ndim: How many axes the input has, with that of the batch.
            activation: The activation function.
        """
        return True

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes."""
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "core_initializer": keras.initializers.serialize(self.core_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "contraction": self.contraction,
        }

    @staticmethod
    def arguments_of(layer: Any, rank_regularizer: Any = None) -> dict[str, Any]:
        """Return the arguments of the constructor that are taken over from a Keras layer.

        For the hook `build_like`: name, dtype, activation, initializers, regularizers and
        constraint of the bias.

        Args:
            layer: A layer with a kernel, such as a `Dense`.
            rank_regularizer: The rank regularizer of the TT layer.
        """
        names = ("activation", "bias_initializer", "bias_regularizer", "activity_regularizer")
        arguments = {name: getattr(layer, name) for name in (*names, "bias_constraint")}
        arguments |= {"core_initializer": layer.kernel_initializer, "dtype": layer.dtype_policy}
        arguments |= {"name": layer.name, "trainable": layer.trainable}
        return {**arguments, "rank_regularizer": rank_regularizer}
