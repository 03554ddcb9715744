"""Modes of a TT matrix: factorizations of a dimension, and the search for good ones."""

from dart_keras.tensor_train.modes.automatic import automatic_modes, complete_modes
from dart_keras.tensor_train.modes.checks import check_modes, check_same_length
from dart_keras.tensor_train.modes.factorization import balanced_modes, factorizations
from dart_keras.tensor_train.modes.search import suggest_modes
from dart_keras.tensor_train.modes.suggestion import ModePoint, Suggestion

__all__ = [
    "ModePoint",
    "Suggestion",
    "automatic_modes",
    "balanced_modes",
    "check_modes",
    "check_same_length",
    "complete_modes",
    "factorizations",
    "suggest_modes",
]
