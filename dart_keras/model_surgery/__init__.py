"""Copies of models, and models in which some layers are exchanged for others."""

from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replace import layers_with_paths, replace_layers

__all__ = ["copy_model", "layers_with_paths", "replace_layers"]


def __dir__() -> list[str]:
    return __all__
