from pathlib import Path
from typing import Any

import keras

from dart_keras.saved_models.keras2_file import load_fixed
from dart_keras.saved_models.model_content import (
    check_model_content,
    is_of_keras2,
    is_saved_model,
)
from dart_keras.saved_models.tf_keras_models import load_through_tf_keras


def load_model(
    path: str | Path,
    custom_objects: dict[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> keras.Model:
    """Load a saved model that holds layers of dart_keras, or one of Keras 2.

    `keras.saving.load_model` does the same for layers of dart_keras once one of them was used, or
    when `keras` was imported before `dart_keras`. This function works at any time.

    A file of Keras 2 that Keras 3 refuses is read without the arguments that its layers no longer
    have. Where this is not enough, and for SavedModel folders, tf-keras reads it, if it is
    installed: a model of Keras 3 gets the weights, and the outputs of both are compared on random
    rows. These models are not compiled.

    Args:
        path: A `.keras` or `.h5` file, or the folder of a SavedModel that Keras 2 wrote.
        custom_objects: Classes and functions that the model needs, by their names.
        compile: Whether a model that was saved compiled is compiled, as far as Keras 3 reads it.
        safe_mode: Whether to refuse `Lambda` layers, whose Python code would be run.

    Returns:
        The model.

    Raises:
        ValueError: If the file cannot be read as a Keras model. The message says if it holds
            weights only, if Keras 2 wrote it, or if it is a SavedModel without a Keras model.
        ImportError: If it takes tf-keras to read it, which is not installed.

    Example:
        >>> import os, tempfile
        >>> import dart_keras as dk
        >>> model = keras.Sequential([keras.Input((64,)), dk.layers.TTDense(64, ranks=4)])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
        >>> model.save(path)
        >>> dk.load_model(path).layers[0].ranks
        (1, 4, 1)
    """
    local = Path(path)
    if local.exists():
        check_model_content(local)
    if is_saved_model(local):
        return load_through_tf_keras(local, custom_objects, safe_mode)
    try:
        return keras.saving.load_model(
            path, custom_objects=custom_objects, compile=compile, safe_mode=safe_mode
        )
    # What goes wrong in a file, or in any layer's config, is of any type.
    except Exception:
        if not is_of_keras2(local):
            raise
    try:
        return load_fixed(local, custom_objects, safe_mode)
    except ValueError as error:
        return load_through_tf_keras(local, custom_objects, safe_mode, str(error))
