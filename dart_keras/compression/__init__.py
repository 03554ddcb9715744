"""From a trained dense model to a tensor-train model."""

from dart_keras.compression.compress import compress
from dart_keras.compression.replacing import layers_with_paths, replace_layers
from dart_keras.compression.report import CompressionReport, LayerReport

__all__ = [
    "CompressionReport",
    "LayerReport",
    "compress",
    "layers_with_paths",
    "replace_layers",
]
