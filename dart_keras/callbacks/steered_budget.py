"""What a steering is told of a training: the budget, its layers and the number of rows."""

from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import running_fit
from dart_keras.selection.layer_budget import LayerBudget
from dart_keras.selection.selection import Selection
from dart_keras.selection.time_budget import TimeBudget
from dart_keras.steering.steering import Steering


def check_steering(steering: Steering | None, selection: Selection) -> Steering | None:
    """Return the steering, if there is a target that it can regularize towards.

    Args:
        steering: As for `RankDiscretization`.
        selection: Which ranks are kept.

    Raises:
        ValueError: If it is no steering, or the selection keeps to no budget that is counted from
            ranks alone.
    """
    if steering is None:
        return None
    if not isinstance(steering, Steering):
        raise ValueError(
            "Expected `steering` to be a `dart_keras.steering.Steering`, such as "
            f"`SteeredStrength()`. Received: steering={steering!r}"
        )
    # Time is planned for each layer, which takes too long to be done in training.
    if not isinstance(selection, LayerBudget) or isinstance(selection, TimeBudget):
        raise ValueError(
            "Expected a budget that is counted from the ranks, `Parameters` or `MultiplyAdds`, "
            f"together with `steering`. Received: {selection!r} and steering={steering!r}. Leave "
            "`steering` out, and give the layers a `rank_regularizer`"
        )
    return steering


def begin_steering(
    steering: Steering,
    model: keras.Model,
    layers: Sequence[TTLayer],
    selection: Any,
    steps: int | None,
) -> None:
    """Have a steering attach its regularizers, when `fit` begins.

    Args:
        steering: The steering.
        model: The model in training.
        layers: Its layers whose ranks are not final.
        selection: A `LayerBudget`.
        steps: How many steps an epoch has; `None` if unknown.
    """
    fit = running_fit()
    batch_size = None if fit is None else fit.batch_size
    rows = None if steps is None or batch_size is None else steps * batch_size
    steering.begin(
        model, layers, lambda ranks: selection.size(layers, ranks), selection.budget.n, rows
    )
