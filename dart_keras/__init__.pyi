# The public names, for type checkers, and for `__init__.py`, which imports each on first use.
from . import (
    callbacks,
    compression,
    deployment,
    devices,
    distribution,
    layers,
    quantization,
    regularizers,
    selection,
    tensor_train,
)
from .saved_models import load_model
from .summary import summary

__version__: str

__all__ = [
    "callbacks",
    "compression",
    "deployment",
    "devices",
    "distribution",
    "layers",
    "load_model",
    "quantization",
    "regularizers",
    "selection",
    "summary",
    "tensor_train",
]
