"""Saved models: those that hold layers of the package, and those of Keras 2.

Keras finds a custom class in a file by the name that the class registers when its module is
imported, and imports no module by itself. So every module that registers a class is imported here.
"""

# Each registers classes that saved models hold: layers, regularizers, fake-quantized layers, and
# models whose sublayers were replaced.
from dart_keras import layers, quantization, regularizers, steering  # noqa: F401
from dart_keras.model_surgery import replaced_sublayers  # noqa: F401
from dart_keras.saved_models.loading import load_model

__all__ = ["load_model"]
