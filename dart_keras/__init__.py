"""Tensor-train (TT) Keras layers with learned ranks, truncation during training, and TFLite files.

The public names are in `__init__.pyi`. Each is imported when it is first used, so that
`import dart_keras` and `dart-keras --help` start neither Keras nor TensorFlow.
"""

import sys

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if "keras" in sys.modules:
    # Nothing is left to be saved by waiting, and `keras.saving.load_model` finds a class only
    # after its module was imported.
    from dart_keras import saved_models  # noqa: F401
