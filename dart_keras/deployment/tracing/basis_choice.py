"""The gauges among which the converter looks for the one that is rounded best."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import flatten_layers
from dart_keras.tensor_train.core_bases import balanced, rotated

AS_TRAINED = "as trained"
GAUGES: dict[str, Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]] = {
    "balanced": balanced,
    "rotated": rotated,
}

# Variables, and what to put in their place.
Replaced = list[tuple[Any, np.ndarray]]


def gauges_of(model: keras.Model) -> dict[str, Replaced]:
    """The gauges that a model's trains can be brought into, with the cores that they take.

    Trains whose ranks are still chosen by gates, or are more than the neighbouring ranks allow,
    stay as they are.
    """
    layers = [layer for layer in flatten_layers(model) if isinstance(layer, TTLayer)]
    layers = [layer for layer in layers if layer.rank_gates is None and max(layer.ranks) > 1]
    found: dict[str, Replaced] = {AS_TRAINED: []}
    for name, gauge in GAUGES.items():
        replaced: Replaced = []
        for layer in layers:
            cores = gauge(layer.to_tt().cores)
            if [core.shape for core in cores] == [core.shape for core in layer.cores]:
                replaced += zip(layer.cores, cores, strict=True)
        if replaced:
            found[name] = replaced
    return found
