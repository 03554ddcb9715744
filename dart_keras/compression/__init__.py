"""From a trained dense model to a small one."""

from dart_keras.compression.compress import compress
from dart_keras.compression.parts import Candidate, candidates
from dart_keras.compression.recovery import recover
from dart_keras.compression.replacing import layers_with_paths, replace_layers
from dart_keras.compression.report import CompressionReport, LayerReport
from dart_keras.compression.sensitivity import Measurement, Sensitivity, sensitivity

__all__ = [
    "Candidate",
    "CompressionReport",
    "LayerReport",
    "Measurement",
    "Sensitivity",
    "candidates",
    "compress",
    "layers_with_paths",
    "recover",
    "replace_layers",
    "sensitivity",
]
