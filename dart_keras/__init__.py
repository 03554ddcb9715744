"""Keras layers held as tensor trains whose ranks are learned, cut while training and deployed."""

from dart_keras import (
    callbacks,
    compression,
    deployment,
    distribution,
    layers,
    quantization,
    regularizers,
    selection,
    tensor_train,
)
from dart_keras._version import __version__
from dart_keras.summary import summary

__all__ = [
    "__version__",
    "callbacks",
    "compression",
    "deployment",
    "distribution",
    "layers",
    "quantization",
    "regularizers",
    "selection",
    "summary",
    "tensor_train",
]
