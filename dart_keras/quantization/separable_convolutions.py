from typing import Any

import keras
from keras import layers


def split_separable_convolution(layer: Any) -> tuple[keras.Layer, keras.Layer]:
    """Return a `SeparableConv2D` as two convolutions, which are two operators in a file.

    Args:
        layer: The built layer. It is left as it is.

    Returns:
        A built depthwise convolution and a built one of single pixels without the activation. Their
        names are the layer's with an ending.

    Example:
        >>> layer = keras.layers.SeparableConv2D(4, 3, name="separable")
        >>> layer.build((None, 6, 6, 2))
        >>> [part.name for part in split_separable_convolution(layer)]
        ['separable_depthwise', 'separable_pointwise']
    """
    common = {"dtype": layer.dtype_policy, "data_format": layer.data_format}
    depthwise: Any = layers.DepthwiseConv2D(
        layer.kernel_size,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        depth_multiplier=layer.depth_multiplier,
        depthwise_initializer=layer.depthwise_initializer,
        depthwise_regularizer=layer.depthwise_regularizer,
        depthwise_constraint=layer.depthwise_constraint,
        use_bias=False,
        name=f"{layer.name}_depthwise",
        **common,
    )
    pointwise: Any = layers.Conv2D(
        layer.filters,
        1,
        use_bias=layer.use_bias,
        kernel_initializer=layer.pointwise_initializer,
        kernel_regularizer=layer.pointwise_regularizer,
        kernel_constraint=layer.pointwise_constraint,
        bias_initializer=layer.bias_initializer,
        bias_regularizer=layer.bias_regularizer,
        bias_constraint=layer.bias_constraint,
        name=f"{layer.name}_pointwise",
        **common,
    )
    shape = layer.get_build_config()["input_shape"]
    depthwise.build(shape)
    pointwise.build(depthwise.compute_output_shape(shape))
    kernel, *others = layer.get_weights()
    depthwise.set_weights([kernel])
    pointwise.set_weights(others)
    return depthwise, pointwise
