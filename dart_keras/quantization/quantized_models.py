from typing import Any

import keras

from dart_keras.private_apis import flatten_layers
from dart_keras.quantization.quantized_embedding import QuantizedEmbedding
from dart_keras.quantization.quantized_layer import QuantizedLayer, QuantizedOutput


def quantized_layers(model: keras.Model) -> list[Any]:
    """Return the layers of a model that hold ranges, which only `quantize_aware` adds."""
    kinds = QuantizedEmbedding, QuantizedLayer, QuantizedOutput
    return [layer for layer in flatten_layers(model) if isinstance(layer, kinds)]
