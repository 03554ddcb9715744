"""Weights of a layer in files: by name, with their ranks, and whether the ranks are final."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.core_layer import CoreLayer
from dart_keras.layers.resizing import Resizing, resize, update_owner
from dart_keras.private_apis import owners_of
from dart_keras.tensor_train.tt_matrix import TTMatrix

_FLAGS = {"ranks_fixed", "has_rank_gates"}


def save_variables(layer: CoreLayer, store: Any) -> None:
    """Save the layer's weights to a Keras store."""
    for variable in _variables(layer):
        store[variable.name] = ops.convert_to_numpy(variable)
    store["ranks_fixed"] = np.array(layer.ranks_fixed)
    store["has_rank_gates"] = np.array(layer.rank_gates is not None)


def load_variables(layer: CoreLayer, store: Any) -> None:
    """Load the layer's weights from a Keras store, together with their ranks.

    Raises:
        ValueError: If the saved weights have other modes or dimensions.
    """
    names = {variable.name for variable in _variables(layer)} | _FLAGS
    if set(store.keys()) != names:
        raise ValueError(
            f"Layer {layer.name!r} expected the weights {sorted(names)}. "
            f"Received: {sorted(store.keys())}"
        )
    cores = [np.asarray(store[core.name]) for core in layer.cores]
    for core, saved in zip(layer.cores, cores, strict=True):
        if len(saved.shape) != 4 or tuple(saved.shape[1:3]) != tuple(core.shape[1:3]):
            raise ValueError(
                f"Layer {layer.name!r} expected cores of shape (r_(k-1), n_k, m_k, r_k) with "
                f"the modes {layer.input_modes} and {layer.output_modes}. "
                f"Received: {core.name} of shape {tuple(saved.shape)}"
            )
    if np.asarray(store["has_rank_gates"]) and layer.rank_gates is None:
        raise ValueError(
            f"Layer {layer.name!r} expected weights without rank gates. Received: weights "
            "saved while GumbelSoftmax was choosing ranks. Load the whole model from a "
            "`.keras` file, or resume with the same RankDiscretization callback"
        )
    fixed = bool(np.asarray(store["ranks_fixed"]))
    if TTMatrix(tuple(cores)).ranks != layer.ranks:
        resize([Resizing(layer, cores, fix_ranks=fixed)])
    elif fixed and not layer.ranks_fixed:
        before = {id(variable) for variable in layer.variables}
        layer.forget_adaptation()
        removed = before - {id(variable) for variable in layer.variables}
        for model in owners_of(layer):
            update_owner(model, {}, removed)
    layer.ranks_fixed = fixed
    for variable in _variables(layer):
        variable.assign(store[variable.name])


def _variables(layer: CoreLayer) -> list[keras.Variable]:
    # The rank gates are a sublayer, whose variables Keras saves separately.
    nested = {id(v) for v in layer.rank_gates.weights} if layer.rank_gates is not None else set()
    return [variable for variable in layer.weights if id(variable) not in nested]
