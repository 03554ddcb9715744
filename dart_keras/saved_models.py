"""Saved models that hold layers of the package.

Keras finds a custom class in a file by the name that the class registers when its module is
imported, and imports no module by itself. So every module that registers a class is imported here.
"""

from pathlib import Path
from typing import Any

import keras

# Each registers classes that saved models hold: layers, regularizers, fake-quantized layers, and
# models whose sublayers were replaced.
from dart_keras import layers, quantization, regularizers  # noqa: F401
from dart_keras.model_surgery import replaced_sublayers  # noqa: F401


def load_model(path: str | Path, **arguments: Any) -> keras.Model:
    """Load a saved model that holds layers of dart_keras.

    `keras.saving.load_model` does the same once a layer of dart_keras was used, or when `keras` was
    imported before `dart_keras`. This function works at any time.

    Args:
        path: A `.keras` or `.h5` file.
        **arguments: Arguments of `keras.saving.load_model`, such as `compile=False`.

    Returns:
        The model.

    Raises:
        ValueError: If the file cannot be read as a Keras model.

    Example:
        >>> import os, tempfile
        >>> import dart_keras as dk
        >>> model = keras.Sequential([keras.Input((64,)), dk.layers.TTDense(64, ranks=4)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> model.save(path)
        >>> dk.load_model(path).layers[0].ranks
        (1, 4, 1)
    """
    return keras.saving.load_model(path, **arguments)
