"""From singular values to ranks: which ranks a cut keeps."""

from dart_keras.selection.budget import Budget
from dart_keras.selection.gumbel_softmax import GumbelSoftmax
from dart_keras.selection.selection import Selection, effective_rank
from dart_keras.selection.selection_map import SelectionMap
from dart_keras.selection.threshold import Energy, Threshold

__all__ = [
    "Budget",
    "Energy",
    "GumbelSoftmax",
    "Selection",
    "SelectionMap",
    "Threshold",
    "effective_rank",
]


def __dir__() -> list[str]:
    return __all__
