from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dart_keras")
class ChannelScaling(keras.layers.DepthwiseConv2D):
    """Scales and shifts the last axis of its inputs, as a trained BatchNormalization does.

    It is a depthwise convolution of one pixel, because runtimes have a kernel for it with a scale
    for each channel, in integers too. Inputs may have any axes, and a mask.

    Args:
        **kwargs: Arguments of `keras.layers.DepthwiseConv2D`, which its config holds.

    Example:
        >>> layer = ChannelScaling(depthwise_initializer="ones", bias_initializer="ones")
        >>> layer(keras.ops.ones((2, 3))).numpy().tolist()
        [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"kernel_size": 1, **kwargs})
        # That of a convolution asks for four axes.
        self.input_spec = None
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create a factor and an addend for each channel."""
        super().build((None, None, None, input_shape[-1]))
        self.input_spec = keras.layers.InputSpec(axes={-1: input_shape[-1]})

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Return inputs times factors plus addends."""
        if len(inputs.shape) == 4:
            return super().call(inputs)
        shape = ops.shape(inputs)
        outputs = super().call(ops.reshape(inputs, (shape[0], -1, 1, shape[-1])))
        return ops.reshape(outputs, shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape
