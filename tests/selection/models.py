import keras

from dart_keras.layers import TTEmbedding


def model_of(*layers):
    """A model with an input and an output for each layer."""
    inputs = [
        keras.Input((3,), dtype="int32")
        if isinstance(layer, TTEmbedding)
        else keras.Input((layer.matrix_shape[0],))
        for layer in layers
    ]
    outputs = [layer(x) for layer, x in zip(layers, inputs, strict=True)]
    return keras.Model(inputs, outputs)


def select(selection, *layers):
    """The ranks that a selection keeps of some layers."""
    return selection.select(model_of(*layers), layers)
