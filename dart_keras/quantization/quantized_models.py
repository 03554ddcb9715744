from typing import Any

import keras

from dart_keras.private_apis import flatten_layers
from dart_keras.quantization.quantized_embedding import QuantizedEmbedding
from dart_keras.quantization.quantized_layer import QuantizedLayer, QuantizedOutput


def quantized_layers(model: keras.Model) -> list[Any]:
    """The layers of a model that hold ranges, none but in a model of `quantize_aware`."""
    kinds = QuantizedEmbedding, QuantizedLayer, QuantizedOutput
    return [layer for layer in flatten_layers(model) if isinstance(layer, kinds)]
