"""Layers that compute what their int8 twins on a device do."""

from typing import Any

import keras

from dart_keras.layers import TTDense, TTEinsumDense
from dart_keras.layers.einsum_axes import einsum_axes
from dart_keras.layers.planning import planned_device
from dart_keras.quantization.products import Kernel, TrainProducts
from dart_keras.quantization.ranges import ActivationQuantizer, FixedQuantizer

# What a runtime works out in the operator in front of it.
_FUSED = (keras.activations.linear, keras.activations.relu, keras.activations.relu6)
# The ranges that the runtimes give their outputs.
_KNOWN = {
    keras.activations.softmax: (0.0, 255 / 256),
    keras.activations.sigmoid: (0.0, 255 / 256),
    keras.activations.tanh: (-1.0, 127 / 128),
}


def is_exporting() -> bool:
    """Whether a model is being made a file, or compared with one."""
    return planned_device() is not None


def range_of_input(tensor: Any) -> str:
    """The name of the layer that rounds an input."""
    return f"{tensor.name}_range"


def quantizer_behind(layer: keras.Layer, activation: Any, name: str) -> Any:
    """The quantizer of what an activation makes."""
    known = _KNOWN.get(activation)
    return FixedQuantizer(*known) if known else ActivationQuantizer(layer, name)


@keras.saving.register_keras_serializable("dart_keras")
class QuantizedOutput(keras.layers.Layer):
    """Rounds what it is given to int8, in a range that training finds.

    Args:
        activation: What made the input, if its range is known from that.
    """

    def __init__(self, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the range."""
        self.quantizers = [quantizer_behind(self, self.activation, "range")]
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The inputs, rounded."""
        return self.quantizers[0](inputs, training, is_exporting())

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """That of the inputs."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


@keras.saving.register_keras_serializable("dart_keras")
class QuantizedLayer(keras.layers.Wrapper):
    """A layer with weights that computes what its int8 twin on a device does.

    Its weights, the results of each product of a tensor train and its outputs are rounded as the
    file's are; gradients pass as if they were not.

    Args:
        layer: A `TTDense`, `TTEinsumDense`, `Dense`, `Conv2D` or `DepthwiseConv2D`, linear.
        activation: The activation behind it.
        target: The device, as for `dart_keras.deployment.convert`. Trains are multiplied in the
            order that is fastest there.
    """

    def __init__(self, layer: Any, activation: Any, target: str, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.activation = keras.activations.get(activation)
        self.target = target
        self.supports_masking = layer.supports_masking

    def build(self, input_shape: Any = None) -> None:
        """Create the layer's weights and the ranges."""
        if not self.layer.built:
            self.layer.build(input_shape)
        if isinstance(self.layer, TTDense | TTEinsumDense):
            summed, units = self.layer.matrix_shape
            width = units if self._ends_with_product(len(input_shape)) else None
            self._product: Any = TrainProducts(self, input_shape, summed, width)
        else:
            self._product = Kernel(self)
        self.quantizers = [*self._product.quantizers]
        if self.activation not in _FUSED:
            self.quantizers.append(ActivationQuantizer(self, "before_activation"))
        self.quantizers.append(quantizer_behind(self, self.activation, "output"))
        self.built = True

    def _ends_with_product(self, ndim: int) -> bool:
        """Whether bias and activation come right behind the product."""
        if isinstance(self.layer, TTDense):
            return True
        axes = einsum_axes(self.layer.equation).expanded(ndim)
        is_plain = len(axes.kept) == len(axes.new) == 1 or self.activation is _FUSED[0]
        biased = self.layer.bias_axes or axes.new
        return is_plain and set(biased) == set(axes.new) and axes.output == axes.kept + axes.new

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The outputs, of the integers that the device computes."""
        final = is_exporting()
        outputs = self._product(inputs, training, final)
        *_, before, output = (None, *self.quantizers)
        if self.activation not in _FUSED:
            outputs = before(outputs, training, final)
        return output(self.activation(outputs), training, final)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """That of the layer's outputs."""
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation, "target": self.target}
