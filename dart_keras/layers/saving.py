"""Weights of a layer in files: by name, with their ranks, and whether the ranks are final."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.layers.core_layer import CoreLayer
from dart_keras.layers.resizing import Resizing, resize, update_owner
from dart_keras.private_apis import (
    add_owner,
    current_load,
    flatten_layers,
    is_rehearsing,
    owners_of,
    rehearse,
)
from dart_keras.tensor_train.tt_matrix import TTMatrix

_FLAGS = {"ranks_fixed", "has_rank_gates"}


def save_variables(layer: CoreLayer, store: Any) -> None:
    """Save the layer's weights to a Keras store."""
    for variable in _variables(layer):
        store[variable.name] = ops.convert_to_numpy(variable)
    store["ranks_fixed"] = np.array(layer.ranks_fixed)
    gates = layer.rank_gates
    store["has_rank_gates"] = np.array(gates is not None and gates.choose_ranks)


def load_variables(layer: CoreLayer, store: Any) -> None:
    """Load the layer's weights from a Keras store, together with their ranks.

    Nothing changes unless everything fits: all weights of the layer and, where ranks are to change,
    those of the other layers of the model that is loaded.

    Raises:
        ValueError: If the saved weights have other modes or dimensions.
    """
    values = _read(layer, store)
    fixed = bool(values.pop("ranks_fixed"))
    if values.pop("has_rank_gates") and layer.rank_gates is None:
        raise ValueError(
            f"Layer {layer.name!r} expected weights without rank gates. Received: weights "
            "saved while GumbelSoftmax was choosing ranks. Load the whole model from a "
            "`.keras` file, or resume with the same RankDiscretization callback"
        )
    if is_rehearsing():
        return
    cores = [values[core.name] for core in layer.cores]
    if TTMatrix(tuple(cores)).ranks != layer.ranks:
        _prepare_model(layer, store)
        resize([Resizing(layer, cores, fix_ranks=fixed)])
    elif fixed and not layer.ranks_fixed:
        before = {id(variable) for variable in layer.variables}
        layer.forget_adaptation()
        removed = before - {id(variable) for variable in layer.variables}
        for model in owners_of(layer):
            update_owner(model, {}, removed)
    layer.ranks_fixed = fixed
    for variable in _variables(layer):
        variable.assign(values[variable.name])


def _read(layer: CoreLayer, store: Any) -> dict[str, np.ndarray]:
    names = {variable.name for variable in _variables(layer)} | _FLAGS
    if set(store.keys()) != names:
        raise ValueError(
            f"Layer {layer.name!r} expected the weights {sorted(names)}. "
            f"Received: {sorted(store.keys())}"
        )
    values = {name: np.asarray(store[name]) for name in sorted(names)}
    shapes = [values[core.name].shape for core in layer.cores]
    modes = list(zip(layer.input_modes, layer.output_modes, strict=True))
    ranks = [1, *(shape[-1] for shape in shapes if shape)]
    if (
        shapes != [(ranks[k], *modes[k], ranks[k + 1]) for k in range(len(ranks) - 1)]
        or ranks[-1] != 1
    ):
        raise ValueError(
            f"Layer {layer.name!r} expected cores of shape (r_(k-1), n_k, m_k, r_k) with "
            f"the modes {layer.input_modes} and {layer.output_modes}. "
            f"Received: cores of the shapes {shapes}"
        )
    cores = {core.name for core in layer.cores}
    expected = {v.name: tuple(v.shape) for v in _variables(layer) if v.name not in cores}
    for name, shape in (expected | dict.fromkeys(_FLAGS, ())).items():
        if values[name].shape != shape:
            raise ValueError(
                f"Layer {layer.name!r} expected {name!r} of shape {shape}. "
                f"Received: shape {values[name].shape}"
            )
    return values


def _prepare_model(layer: CoreLayer, store: Any) -> None:
    # Keras loads layer by layer and goes on after an error. Ranks must not change by halves.
    load = current_load()
    if load is None:
        return
    # It may not have been called yet, and still its optimizer may know the layer's variables.
    add_owner(layer, load.model)
    if load.skip_mismatch:
        return
    # Gates have their new ranks only after their layers.
    each = (getattr(layer, "rank_gates", None) for layer in flatten_layers(load.model))
    errors = rehearse(load, store, [gates for gates in each if gates is not None])
    if errors:
        raise ValueError(
            f"Expected a file with the weights of all layers of model {load.model.name!r}. "
            f"Received: a file that does not fit the layers {sorted(errors)}. The ranks of layer "
            f"{layer.name!r} are unchanged. The first error: {next(iter(errors.values()))}"
        )


def _variables(layer: CoreLayer) -> list[keras.Variable]:
    # The rank gates are a sublayer, whose variables Keras saves separately.
    nested = {id(v) for v in layer.rank_gates.weights} if layer.rank_gates is not None else set()
    return [variable for variable in layer.weights if id(variable) not in nested]
