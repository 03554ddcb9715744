import keras

from dart_keras.private_apis import flatten_layers


def check_not_quantized(model: keras.Model) -> None:
    """Check that a model has not been quantized by Keras itself.

    `model.quantize("int8")` puts integers and scales in the place of weights, in layers of the same
    classes. Nothing here multiplies by these: not TensorFlow Lite, and not a TT layer.

    Args:
        model: A Keras model.

    Raises:
        ValueError: If it has layers that are quantized, with their names.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="logits")])
        >>> check_not_quantized(model)
        >>> model.quantize("int8")
        >>> check_not_quantized(model)
        Traceback (most recent call last):
            ...
        ValueError: Expected a model with the weights that it was trained with. Received: ...
    """
    quantized = [
        f"{layer.path} ({layer.dtype_policy.quantization_mode})"
        for layer in flatten_layers(model)
        if isinstance(layer.dtype_policy, keras.dtype_policies.QuantizedDTypePolicy)
    ]
    if quantized:
        raise ValueError(
            "Expected a model with the weights that it was trained with. Received: layers that "
            f"Keras's `quantize` has turned into integers: {', '.join(quantized)}. Take the model "
            "as it was before: `dart_keras.deployment.convert` quantizes it for the device with "
            "`quantization='int8'`"
        )
