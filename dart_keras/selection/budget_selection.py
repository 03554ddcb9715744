"""The selection that each kind of budget stands for."""

from typing import Any

from dart_keras.budgets import (
    ArenaBytes,
    FlashBytes,
    LossIncrease,
    Microseconds,
    MultiplyAdds,
    Parameters,
    RelativeError,
)
from dart_keras.selection.file_budget import FileBudget
from dart_keras.selection.layer_budget import LayerBudget, multiply_adds_of, parameters_of
from dart_keras.selection.loss_selection import LossSelection
from dart_keras.selection.selection import Selection
from dart_keras.selection.threshold import ErrorTolerance
from dart_keras.selection.time_budget import TimeBudget


def selection_for(given: Any) -> Selection:
    """Return a selection as it is, or the one that keeps to a budget.

    Args:
        given: A `dart_keras.selection.Selection`, or a budget of `dart_keras.budgets`.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> from dart_keras.budgets import Parameters
        >>> selection_for(Parameters(100)).budget
        Parameters(100)
    """
    match given:
        case Selection():
            return given
        case Parameters():
            return LayerBudget(given, parameters_of)
        case MultiplyAdds():
            return LayerBudget(given, multiply_adds_of)
        case Microseconds():
            return TimeBudget(given)
        case FlashBytes() | ArenaBytes():
            return FileBudget(given)
        case LossIncrease():
            return LossSelection(given)
        case RelativeError():
            return ErrorTolerance(given)
    raise ValueError(
        "Expected a `dart_keras.selection.Selection`, such as `Threshold(0.1)`, or a budget of "
        f"`dart_keras.budgets`, such as `Parameters(100_000)`. Received: {given!r}"
    )
