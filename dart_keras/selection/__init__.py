"""Selections: from singular values to the ranks that truncation keeps."""

from dart_keras.selection.gumbel_softmax import GumbelSoftmax
from dart_keras.selection.selection import Selection, effective_rank
from dart_keras.selection.selection_map import SelectionMap
from dart_keras.selection.threshold import Threshold

__all__ = [
    "GumbelSoftmax",
    "Selection",
    "SelectionMap",
    "Threshold",
    "effective_rank",
]


def __dir__() -> list[str]:
    return __all__
