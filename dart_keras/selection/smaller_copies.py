"""Copies of models in which some layers have lower, final ranks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.resizing import Resizing, resize
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.model_surgery.clone import copy_model

# For each of some layers all d + 1 ranks.
LayerRanks = list[tuple[int, ...]]


def truncated_copy(model: keras.Model, layers: Sequence[TTLayer], ranks: LayerRanks) -> keras.Model:
    """Return a copy of a model with some of its layers truncated, as `RankDiscretization` does it.

    Args:
        model: A built model. It is left as it is.
        layers: Some of its layers.
        ranks: For each of them all d + 1 ranks.
    """
    plans = [
        layer.plan_truncation(layer_ranks)[0]
        for layer, layer_ranks in zip(layers, ranks, strict=True)
    ]
    return _copy_with(model, layers, [plan.cores for plan in plans])


def sliced_copy(model: keras.Model, layers: Sequence[TTLayer], ranks: LayerRanks) -> keras.Model:
    """Return a copy of a model in which some layers have only their first rank slices.

    Args:
        model: A built model. It is left as it is.
        layers: Some of its layers.
        ranks: For each of them all d + 1 ranks, none above the present one.
    """
    cores = [first_slices(layer, own) for layer, own in zip(layers, ranks, strict=True)]
    return _copy_with(model, layers, cores)


def first_slices(layer: TTLayer, ranks: Sequence[int]) -> list[np.ndarray]:
    """Return the cores of a layer without the slices beyond some ranks.

    Args:
        layer: A built layer.
        ranks: All d + 1 ranks, none above the present one.
    """
    return [
        ops.convert_to_numpy(core)[:left, :, :, :right]
        for core, left, right in zip(layer.cores, ranks[:-1], ranks[1:], strict=True)
    ]


def _copy_with(
    model: keras.Model, layers: Sequence[TTLayer], cores: Sequence[Sequence[np.ndarray]]
) -> keras.Model:
    copy, copies = copy_model(model)
    new: list[Any] = [copies[id(layer)] for layer in layers]
    resize([Resizing(layer, own, fix_ranks=True) for layer, own in zip(new, cores, strict=True)])
    return copy
