"""Layers that compute the same as their int8 versions on a device."""

from typing import Any

import keras

from dart_keras.layers.planning import planned_device
from dart_keras.layers.tt_kernel_layer import TTKernelLayer
from dart_keras.quantization.products import Kernel, TTProducts
from dart_keras.quantization.ranges import ActivationQuantizer, FixedQuantizer

# Activations that a runtime fuses with the operator before them.
_FUSED = (keras.activations.linear, keras.activations.relu, keras.activations.relu6)
# Fixed output ranges of the runtimes.
_KNOWN = {
    keras.activations.softmax: (0.0, 255 / 256),
    keras.activations.sigmoid: (0.0, 255 / 256),
    keras.activations.tanh: (-1.0, 127 / 128),
}


def is_exporting() -> bool:
    """Return whether a model is being converted to a file, or compared with one."""
    return planned_device() is not None


def range_of_input(tensor: Any) -> str:
    """Return the name of the layer that rounds an input."""
    return f"{tensor.name}_range"


def output_quantizer(layer: keras.Layer, activation: Any, name: str) -> Any:
    """Return the quantizer of an activation's output."""
    known = _KNOWN.get(activation)
    return FixedQuantizer(*known) if known else ActivationQuantizer(layer, name)


@keras.saving.register_keras_serializable("dart_keras")
class QuantizedOutput(keras.layers.Layer):
    """Rounds its input to int8, in a range that training learns.

    Args:
        activation: The activation before this layer; some have fixed ranges.
    """

    def __init__(self, activation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the range."""
        self.quantizers = [output_quantizer(self, self.activation, "range")]
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the rounded inputs."""
        return self.quantizers[0](inputs, training, is_exporting())

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the spec of the inputs."""
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation}


@keras.saving.register_keras_serializable("dart_keras")
class QuantizedLayer(keras.layers.Wrapper):
    """A layer with weights that computes the same as its int8 version on a device.

    Its weights, the results of each product of a TT matrix and its outputs are rounded as in the
    file. Gradients ignore the rounding.

    Args:
        layer: A linear TT layer with a kernel, or a `Dense`, `Conv2D` or `DepthwiseConv2D`.
        activation: The activation after it.
        target: The device, as for `dart_keras.deployment.convert`. TT matrices are
            multiplied in the order that is fastest there.
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
        if isinstance(self.layer, TTKernelLayer):
            rows = self.layer.product_rows(input_shape)
            is_output = self.layer.product_is_output(len(input_shape), self.activation)
            width = self.layer.matrix_shape[1] if is_output else None
            self._product: Any = TTProducts(self, input_shape, rows, width)
        else:
            self._product = Kernel(self)
        self.quantizers = [*self._product.quantizers]
        if self.activation not in _FUSED:
            self.quantizers.append(ActivationQuantizer(self, "before_activation"))
        self.quantizers.append(output_quantizer(self, self.activation, "output"))
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the outputs as the device computes them."""
        final = is_exporting()
        outputs = self._product(inputs, training, final)
        *_, before, output = (None, *self.quantizers)
        if self.activation not in _FUSED:
            outputs = before(outputs, training, final)
        return output(self.activation(outputs), training, final)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output spec of the wrapped layer."""
        return self.layer.compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "activation": activation, "target": self.target}
