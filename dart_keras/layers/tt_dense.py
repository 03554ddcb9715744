from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from dart_keras.layers.planning import count_rows
from dart_keras.layers.tt_kernel_layer import TTKernelLayer
from dart_keras.tensor_train.modes import check_modes
from dart_keras.tensor_train.ranks import Ranks
from dart_keras.utils.argument_checks import is_integer


@keras.saving.register_keras_serializable("dart_keras")
class TTDense(TTKernelLayer):
    """A densely connected layer whose kernel is a TT matrix.

    It computes `activation(dot(inputs, kernel) + bias)` as `keras.layers.Dense` does. The kernel
    of shape (N, units) consists of d cores of shape (r_{k-1}, n_k, m_k, r_k) (Novikov et al. 2015,
    "Tensorizing Neural Networks", section 4). The layer multiplies its input core by core or
    rebuilds the kernel first, whichever is faster: see `contraction_plan`.

    Args:
        units: Positive integer, the size of the output.
        ranks: Initial ranks: an integer for all bonds, the d - 1 inner ranks, or all d + 1. Ranks
            above what the modes allow are clipped.
        input_modes: Integers n_1...n_d whose product is the size of the input's last axis. With a
            larger product, below twice the size, the input is padded with zeros. `None` to choose
            them.
        output_modes: As many integers m_1...m_d for `units`. With a larger product, the first
            `units` columns are used. `None` to choose them.
        activation: Activation function, as in `keras.layers.Dense`.
        use_bias: Whether to add a bias.
        core_initializer: A Keras initializer for the kernel. The cores are drawn so that the kernel
            has the variance that the initializer gives a `Dense` kernel. `"orthogonal"` gives
            orthogonal cores with equal singular values.
        bias_initializer: Initializer of the bias.
        rank_regularizer: A regularizer of each core, such as
            `dart_keras.regularizers.NuclearNorm`, which drives redundant singular values to zero
            during training.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        bias_constraint: Constraint of the bias.
        contraction: Order in which to multiply input and cores. `"auto"` is the fastest order by
            estimate for the present ranks and batch size. `"measure"` times the candidates once on
            this machine and caches the fastest (TensorFlow only). The other values are kinds of
            orders: `"left_to_right"`, `"right_to_left"`, `"middle_out"`, `"merged"` (neighbouring
            cores first), `"rebuild"` (the kernel first) and `"opt_einsum"` (its path).
        **kwargs: `name`, `dtype`, `trainable` and so on, as for any Keras layer.

    Input shape:
        N-D tensor `(batch, ..., N)`.

    Output shape:
        N-D tensor `(batch, ..., units)`.

    Raises:
        ValueError: If the modes do not match the dimension, the ranks are not positive integers or
            have the wrong number, or another argument is invalid.

    Example:
        >>> layer = TTDense(1024, ranks=8, activation="relu")
        >>> layer(keras.ops.ones((2, 784))).shape
        TensorShape([2, 1024])
        >>> layer.input_modes, layer.output_modes, layer.ranks
        ((28, 28), (32, 32), (1, 8, 1))
        >>> layer.count_params()  # a Dense layer has 803,840
        15360
    """

    replaces = (keras.layers.Dense,)
    folds_batch_norm = True
    quantizable = True

    def __init__(
        self,
        units: int,
        ranks: Ranks = 8,
        input_modes: Sequence[int] | None = None,
        output_modes: Sequence[int] | None = None,
        activation: Any = None,
        use_bias: bool = True,
        core_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        rank_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        bias_constraint: Any = None,
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        if not is_integer(units) or units <= 0:
            raise ValueError(
                f"Expected `units` to be a positive integer. Received: units={units!r}"
            )
        super().__init__(
            ranks,
            input_modes,
            output_modes,
            rank_regularizer,
            activation,
            core_initializer,
            bias_initializer,
            bias_regularizer,
            bias_constraint,
            contraction,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
        self.units = int(units)
        if self.output_modes is not None:
            check_modes("output_modes", self.output_modes, self.units)
        self.use_bias = use_bias
        self.input_spec = keras.layers.InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the cores and the bias for inputs of the given shape."""
        input_dim = input_shape[-1]
        if input_dim is None:
            raise ValueError(
                "Expected an input whose last axis has a known size. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.add_cores(input_dim, self.units, self.core_initializer)
        if self.use_bias:
            self.add_bias((self.units,))
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: input_dim})
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the layer's output.

        Args:
            inputs: Tensor of shape (batch, ..., N).
            training: Whether rank gates, if there are any, draw ranks.

        Returns:
            Tensor of shape (batch, ..., units) in the compute dtype.
        """
        x = ops.convert_to_tensor(inputs, sparse=False)
        leading = ops.shape(x)[:-1]
        rows = x if len(leading) == 1 else ops.reshape(x, (-1, x.shape[-1]))
        outputs = self.multiply(rows, count_rows(x.shape[:-1]), training)
        # On a device, a bias directly after the product is fused with it.
        if self.bias is not None:
            outputs = ops.add(outputs, ops.cast(self.bias, outputs.dtype))
        if len(leading) != 1:
            outputs = ops.reshape(outputs, (*leading, self.units))
        # After the reshape, because an activation may use another axis than the last.
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the output for an input of the given shape."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes."""
        config = {"units": self.units, "use_bias": self.use_bias}
        return {**super().get_config(), **config}

    @classmethod
    def build_like(
        cls,
        layer: keras.layers.Dense,
        ranks: Ranks,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        rank_regularizer: Any = None,
        column_bias: bool = False,
    ) -> Self:
        """Return a built `TTDense` that does with inputs what a `Dense` does."""
        use_bias = layer.use_bias or column_bias
        arguments = {"use_bias": use_bias, **cls.arguments_of(layer, rank_regularizer)}
        tt = cls(layer.units, ranks, input_modes, output_modes, **arguments)
        tt.build((None, layer.kernel.shape[0]))
        if layer.use_bias:
            # A copy: JAX shares an array that is assigned.
            tt.bias.assign(keras.ops.copy(layer.bias))
        return tt
