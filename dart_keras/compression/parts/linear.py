"""What layers have in common that multiply rows of their inputs by a matrix."""

from abc import abstractmethod

import keras
import numpy as np

from dart_keras.compression.decomposition import corrected
from dart_keras.compression.moments import Moments
from dart_keras.compression.parts.part import Form, Part


class LinearPart(Part):
    """A layer whose outputs are input rows times its matrix, and a bias.

    The rows are what moments are taken of, to fit another matrix to.
    """

    def evidence(self, sensitivity: np.ndarray | None) -> Moments:
        """Moments of the layer's input rows."""
        return Moments(sensitivity)

    def variance(self, evidence: Moments, sensitivity: np.ndarray) -> float:
        """The outputs' variance, which the moments hold."""
        return evidence.target_variance

    def can_correct(self, form: Form) -> bool:
        """Where there is a bias to take the means, and no normalization that is left behind it."""
        kinds = (keras.layers.Dense, keras.layers.EinsumDense, keras.layers.Conv2D)
        is_whole = form.kind == "folded" or (form.kind == "dense" and self.norm is None)
        return is_whole and self.bias is not None and type(self.layer) in kinds

    @abstractmethod
    def _with_numbers(self, matrix: np.ndarray, bias: np.ndarray) -> keras.layers.Layer:
        """A layer of the same class with another matrix and bias, the normalization left out."""

    def _whole_layer(self, moments: Moments | None) -> tuple[keras.Layer, float]:
        """The layer with its own matrix, or with the one that moments call for, and its error."""
        if moments is None:
            assert self.bias is not None
            return self._with_numbers(self.kernel, self.bias), 0.0
        matrix, bias, error = corrected(self.kernel, moments)
        return self._with_numbers(matrix, bias), error
