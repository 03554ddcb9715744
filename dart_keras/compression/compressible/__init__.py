"""Compressible layers and their factorizations."""

from dart_keras.compression.compressible.base import CompressibleLayer, Factorization
from dart_keras.compression.compressible.discovery import (
    Candidate,
    LayerFilter,
    candidates,
    find_compressible_layers,
)

__all__ = [
    "Candidate",
    "CompressibleLayer",
    "Factorization",
    "LayerFilter",
    "candidates",
    "find_compressible_layers",
]
