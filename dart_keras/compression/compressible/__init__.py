"""The layers that compression can hold in other forms."""

from dart_keras.compression.compressible.base import Form, Part
from dart_keras.compression.compressible.discovery import (
    Candidate,
    LayerFilter,
    candidates,
    parts_of,
)

__all__ = ["Candidate", "Form", "LayerFilter", "Part", "candidates", "parts_of"]
