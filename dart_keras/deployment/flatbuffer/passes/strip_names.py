from typing import Any

from dart_keras.deployment.flatbuffer.serialization import load_flatbuffer_utils


def strip_names(model: Any) -> None:
    """Drop the names of inputs and outputs, and the signature.

    TensorFlow Lite Micro goes by their places alone.

    Args:
        model: A `ModelT`, changed in place.
    """
    load_flatbuffer_utils().strip_strings(model)
