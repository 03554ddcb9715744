import math
from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from dart_keras.layers.einsum_axes import EinsumAxes, einsum_axes
from dart_keras.layers.planning import count_rows
from dart_keras.layers.tt_kernel_layer import TTKernelLayer
from dart_keras.tensor_train.ranks import Ranks
from dart_keras.utils.argument_checks import is_integer


@keras.saving.register_keras_serializable("dart_keras")
class TTEinsumDense(TTKernelLayer):
    """An einsum layer whose kernel is a TT matrix.

    It computes `activation(einsum(equation, inputs, kernel) + bias)` as `keras.layers.EinsumDense`
    does, for kernels that are one matrix. Its rows are the summed axes in the order of the input,
    its columns the new axes in the order of the output. It consists of cores as in `TTDense`
    (Novikov et al. 2015, "Tensorizing Neural Networks", section 4).

    Args:
        equation: The einsum, such as `"abc,cde->abde"`, with `...` at either end of input and
            output for axes that are kept. No axis may be in all of input, kernel and output.
        output_shape: Sizes of the output's axes without the batch and the elided ones: an integer,
            or a sequence with `None` for sizes that come from the input.
        ranks: Initial ranks, as in `TTDense`.
        input_modes: Modes of the product of the summed axes, as in `TTDense`; `None` to choose.
        output_modes: As many modes of the product of the new axes; `None` to choose.
        activation: Activation function.
        bias_axes: Letters of the output's axes that the bias has; `None` for no bias.
        core_initializer: A Keras initializer for the kernel's matrix, as in `TTDense`.
        bias_initializer: Initializer of the bias.
        rank_regularizer: A regularizer of each core, as in `TTDense`.
        bias_regularizer: Regularizer of the bias.
        activity_regularizer: Regularizer of the output.
        bias_constraint: Constraint of the bias.
        contraction: Order in which to multiply input and cores, as in `TTDense`.
        **kwargs: `name`, `dtype`, `trainable` and so on, as for any Keras layer.

    Raises:
        ValueError: If the equation has another form, or another argument is invalid.

    Example:
        >>> heads = TTEinsumDense("abc,cde->abde", (None, 8, 32), ranks=4, bias_axes="de")
        >>> heads(keras.ops.ones((2, 10, 256))).shape
        TensorShape([2, 10, 8, 32])
        >>> heads.input_modes, heads.output_modes, heads.ranks
        ((16, 16), (16, 16), (1, 4, 1))
    """

    replaces = (keras.layers.EinsumDense,)
    quantizable = True

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        ranks: Ranks = 8,
        input_modes: Sequence[int] | None = None,
        output_modes: Sequence[int] | None = None,
        activation: Any = None,
        bias_axes: str | None = None,
        core_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        rank_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        bias_constraint: Any = None,
        contraction: str = "auto",
        **kwargs: Any,
    ) -> None:
        axes = einsum_axes(equation)
        sizes: Any = output_shape if isinstance(output_shape, Sequence) else [output_shape]
        if len(sizes) != len(axes.named) or not all(
            (is_integer(size) and size >= 1) or (size is None and axis not in axes.new)
            for axis, size in zip(axes.named, sizes, strict=True)
        ):
            raise ValueError(
                f"Expected `output_shape` to be the sizes of {axes.named!r}, `None` only for axes "
                f"of the input. Received: output_shape={output_shape!r}"
            )
        if bias_axes is not None and (not bias_axes or set(str(bias_axes)) - set(axes.named)):
            raise ValueError(
                f"Expected `bias_axes` among {axes.named!r}. Received: bias_axes={bias_axes!r}"
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
        self.equation = equation
        self.partial_output_shape = tuple(size if size is None else int(size) for size in sizes)
        self.bias_axes = bias_axes
        self._axes = axes

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the cores and the bias for inputs of the given shape."""
        axes, sizes = self._sized(input_shape)
        bias_axes = self.bias_axes or ""
        if None in (sizes[axis] for axis in axes.summed + bias_axes):
            raise ValueError(
                f"Expected known sizes of the axes {axes.summed + bias_axes!r}. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        rows, columns = (math.prod(sizes[a] for a in part) for part in (axes.summed, axes.new))
        self.add_cores(rows, columns, self.core_initializer)
        if bias_axes:
            first = min(axes.output.index(axis) for axis in bias_axes)
            self.add_bias([sizes[a] if a in bias_axes else 1 for a in axes.output[first:]])
        known = {axes.input.index(axis): sizes[axis] for axis in axes.summed}
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape), axes=known)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the layer's output.

        Args:
            inputs: Tensor with the axes of the equation's input.
            training: Whether rank gates, if there are any, draw ranks.

        Returns:
            Tensor with the axes of the equation's output, in the compute dtype.
        """
        x = ops.convert_to_tensor(inputs, sparse=False)
        axes, sizes = self._sized(x.shape)
        x = moved(x, axes.input, axes.kept + axes.summed)
        kept = ops.shape(x)[: len(axes.kept)]
        if not len(kept) == len(axes.summed) == 1:
            x = ops.reshape(x, (-1, self.matrix_shape[0]))
        outputs = self.multiply(x, count_rows([sizes[axis] for axis in axes.kept]), training)
        # On a device, a bias directly after the product is fused with it.
        if bias_of_columns := set(self.bias_axes or ".") == set(axes.new):
            outputs = ops.add(outputs, ops.cast(ops.reshape(self.bias, (-1,)), outputs.dtype))
        if not len(kept) == len(axes.new) == 1:
            outputs = ops.reshape(outputs, (*kept, *(sizes[axis] for axis in axes.new)))
        outputs = moved(outputs, axes.kept + axes.new, axes.output)
        if self.bias is not None and not bias_of_columns:
            # Not `ops.add`, which on TensorFlow may add a bias (n, 1) along another axis of size n.
            outputs = outputs + ops.cast(self.bias, outputs.dtype)
        return self.activation(outputs)

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the output for an input of the given shape."""
        axes, sizes = self._sized(input_shape)
        return tuple(sizes[axis] for axis in axes.output)

    def _sized(self, input_shape: Sequence[int | None]) -> tuple[EinsumAxes, dict[str, Any]]:
        axes = self._axes.expanded(len(input_shape))
        sizes: dict[str, Any] = dict(zip(axes.input, input_shape, strict=True))
        for axis, size in zip(self._axes.named, self.partial_output_shape, strict=True):
            if None not in (size, sizes.get(axis)) and size != sizes[axis]:
                raise ValueError(
                    f"Expected an input whose axis {axis!r} has the size {size} of `output_shape`. "
                    f"Received: input_shape={tuple(input_shape)}"
                )
            sizes[axis] = size if sizes.get(axis) is None else sizes[axis]
        return axes, sizes

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, with the present ranks and modes."""
        shape = {"equation": self.equation, "output_shape": self.partial_output_shape}
        return {**super().get_config(), **shape, "bias_axes": self.bias_axes}

    def product_is_output(self, ndim: int, activation: Any) -> bool:
        """Return whether the product's rows are the outputs, with all axes in their order."""
        axes = self._axes.expanded(ndim)
        linear = activation is keras.activations.linear
        is_plain = len(axes.kept) == len(axes.new) == 1 or linear
        biased = self.bias_axes or axes.new
        return is_plain and set(biased) == set(axes.new) and axes.output == axes.kept + axes.new

    @classmethod
    def check_replaceable(cls, layer: Any) -> None:
        """Raise a ValueError unless the layer is an `EinsumDense` whose kernel is one matrix."""
        super().check_replaceable(layer)
        einsum_axes(layer.equation)

    @classmethod
    def dense_matrix(cls, layer: keras.layers.EinsumDense) -> np.ndarray:
        """Return the kernel with the summed axes as rows and the new axes as columns."""
        axes = einsum_axes(layer.equation)
        kernel = ops.convert_to_numpy(layer.kernel)
        kernel = array_moved(kernel, axes.kernel, axes.summed + axes.new)
        return kernel.reshape(math.prod(kernel.shape[: len(axes.summed)]), -1)

    @classmethod
    def dense_bias(cls, layer: keras.layers.EinsumDense) -> np.ndarray | None:
        """Return the bias, of shape (M,), if it has just the new axes."""
        axes = einsum_axes(layer.equation)
        if layer.bias is None or set(layer.bias_axes) != set(axes.new):
            return None
        return ops.convert_to_numpy(layer.bias).reshape(-1)

    @classmethod
    def input_rows(cls, layer: keras.layers.EinsumDense, inputs: np.ndarray) -> np.ndarray:
        """Return the inputs with the summed axes as columns."""
        axes = einsum_axes(layer.equation).expanded(inputs.ndim)
        moved = array_moved(inputs, axes.input, axes.kept + axes.summed)
        return moved.reshape(-1, math.prod(moved.shape[len(axes.kept) :]))

    @classmethod
    def output_rows(cls, layer: keras.layers.EinsumDense, outputs: np.ndarray) -> np.ndarray:
        """Return the outputs with the new axes as columns."""
        axes = einsum_axes(layer.equation)
        elided = outputs.ndim - len(axes.output.replace(".", ""))
        axes = axes.expanded(len(axes.input.replace(".", "")) + elided)
        moved = array_moved(outputs, axes.output, axes.kept + axes.new)
        return moved.reshape(-1, math.prod(moved.shape[len(axes.kept) :]))

    @classmethod
    def dense_like(
        cls, layer: keras.layers.EinsumDense, matrix: np.ndarray, bias: np.ndarray
    ) -> keras.layers.EinsumDense:
        """Return an `EinsumDense` of the same config with other weights."""
        axes = einsum_axes(layer.equation)
        order = axes.summed + axes.new
        shape = [layer.kernel.shape[axes.kernel.index(axis)] for axis in order]
        kernel = array_moved(matrix.reshape(shape), order, axes.kernel)
        bias_axes = layer.bias_axes or axes.new
        new = type(layer).from_config({**layer.get_config(), "bias_axes": bias_axes})
        new.build(layer.get_build_config()["input_shape"])
        new.set_weights([kernel, bias.reshape(new.bias.shape)])
        return new

    @classmethod
    def build_like(
        cls,
        layer: keras.layers.EinsumDense,
        ranks: Ranks,
        input_modes: Sequence[int],
        output_modes: Sequence[int],
        rank_regularizer: Any = None,
        column_bias: bool = False,
    ) -> Self:
        """Return a built `TTEinsumDense` that does with inputs what an `EinsumDense` does."""
        bias_axes = einsum_axes(layer.equation).new if column_bias else layer.bias_axes
        arguments = {"bias_axes": bias_axes, **cls.arguments_of(layer, rank_regularizer)}
        shape = layer.partial_output_shape
        tt = cls(layer.equation, shape, ranks, input_modes, output_modes, **arguments)
        tt.build(layer.get_build_config()["input_shape"])
        if layer.bias is not None:
            # A copy: JAX shares an array that is assigned.
            tt.bias.assign(keras.ops.copy(layer.bias))
        return tt


def array_moved(array: np.ndarray, axes: str, order: str) -> np.ndarray:
    """Return an array with its axes, one letter each, in another order."""
    return np.transpose(array, [axes.index(axis) for axis in order])


def moved(x: Any, axes: str, order: str) -> Any:
    """Return a tensor with its axes, one letter each, in another order."""
    return x if axes == order else ops.transpose(x, [axes.index(axis) for axis in order])
