# The public names, for type checkers, and for `__init__.py`, which imports each on first use.
from . import (
    adapters,
    budgets,
    callbacks,
    compression,
    deployment,
    devices,
    distribution,
    layers,
    model_surgery,
    quantization,
    regularizers,
    selection,
    steering,
    tensor_train,
)
from ._version import __version__
from .saved_models import load_model
from .summary import summary

__all__ = [
    "__version__",
    "adapters",
    "budgets",
    "callbacks",
    "compression",
    "deployment",
    "devices",
    "distribution",
    "layers",
    "load_model",
    "model_surgery",
    "quantization",
    "regularizers",
    "selection",
    "steering",
    "summary",
    "tensor_train",
]
