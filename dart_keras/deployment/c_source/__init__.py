"""C++ source of a model for TensorFlow Lite Micro: `files` gives what belongs into its folder."""

from dart_keras.deployment.c_source.source_files import files

__all__ = ["files"]
