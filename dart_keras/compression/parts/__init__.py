"""The layers that compression can hold in other forms."""

from dart_keras.compression.parts.finding import Candidate, LayerFilter, candidates, parts_of
from dart_keras.compression.parts.part import Form, Part

__all__ = ["Candidate", "Form", "LayerFilter", "Part", "candidates", "parts_of"]
