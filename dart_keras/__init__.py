"""Keras layers held as tensor trains whose ranks are learned, cut while training and deployed."""

from dart_keras import callbacks, layers, regularizers, selection
from dart_keras._version import __version__

__all__ = [
    "__version__",
    "callbacks",
    "layers",
    "regularizers",
    "selection",
]
