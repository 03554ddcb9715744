"""Replace the cores of layers by cores of other ranks, with all state that depends on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np

from dart_keras.distribution.replicas import as_on_chief, scope_of
from dart_keras.layers.core_layer import CoreLayer
from dart_keras.private_apis import (
    Carry,
    VariableReplacement,
    owners_of,
    read_state_back,
    rebuild_optimizer,
    retrace,
)
from dart_keras.tensor_train.rounding import BondMap, project


@dataclass(frozen=True)
class Resizing:
    """New cores for one layer.

    Attributes:
        layer: A built layer.
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k), of the layer's modes.
        maps: Maps of `bond_maps` that made the cores, or `None`; without maps, the optimizer's
            state of the cores is reset.
        fix_ranks: Whether the ranks are final: removes the layer's rank regularizer and rank gates.
    """

    layer: CoreLayer
    cores: Sequence[np.ndarray]
    maps: Sequence[BondMap | None] | None = None
    fix_ranks: bool = False


def resize(resizings: Sequence[Resizing]) -> None:
    """Replace cores of layers, and adapt their models' optimizers and compiled functions.

    Works between two steps of a running `fit`, from a callback.
    """
    models = {id(m): m for each in resizings for m in owners_of(each.layer)}
    for model in models.values():
        read_state_back(model)
    replacements: dict[int, VariableReplacement] = {}
    for each in resizings:
        old = each.layer.cores
        if each.fix_ranks:
            each.layer.forget_adaptation()
        with scope_of(models.values()):
            # In a strategy's scope, variables start on all workers with the chief's values.
            new = each.layer.replace_cores(each.cores)
        maps = as_on_chief(models.values(), each.maps)
        for k, (before, after) in enumerate(zip(old, new, strict=True)):
            replacements[id(before)] = VariableReplacement(
                after, _carrier(tuple(before.shape), maps, k)
            )
    for model in models.values():
        update_owner(model, replacements)


def update_owner(model: keras.Model, replacements: dict[int, VariableReplacement]) -> None:
    """Rebuild the model's optimizer for its present variables, and its compiled functions."""
    with scope_of([model]):
        rebuild_optimizer(
            getattr(model, "optimizer", None), list(model.trainable_variables), replacements
        )
    retrace(model)


def _carrier(shape: tuple[int, ...], maps: Sequence[BondMap | None] | None, k: int) -> Carry:
    def carry(value: np.ndarray, squared: bool, new_shape: tuple[int, ...]) -> np.ndarray | None:
        if maps is None:
            return None
        # Adafactor's second moments are means over the last axis, or over the one before.
        for axis, after in ((None, maps[k + 1]), (3, None), (2, maps[k + 1])):
            if value.shape == tuple(size for i, size in enumerate(shape) if i != axis):
                core = value if axis is None else np.expand_dims(value, axis)
                [carried] = project([core], [maps[k], after], power=2 if squared else 1)
                carried = carried if axis is None else np.squeeze(carried, axis)
                if carried.shape == new_shape:
                    return carried
        return None

    return carry
