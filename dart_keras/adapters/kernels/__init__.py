"""Layers with a kernel as adapters see them, one file for each kind of layer."""

from dart_keras.adapters.kernels.kinds import (
    LAYER_KERNELS,
    float_copy,
    kernel_of,
    kernel_or_none,
    plain_copy,
)
from dart_keras.adapters.kernels.layer_kernel import LayerKernel, chained_cores

__all__ = [
    "LAYER_KERNELS",
    "LayerKernel",
    "chained_cores",
    "float_copy",
    "kernel_of",
    "kernel_or_none",
    "plain_copy",
]
