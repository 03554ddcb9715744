"""Replace the cores of layers by cores of other ranks, with all state that depends on them."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from dart_keras.distribution.replicas import as_on_chief, scope_of
from dart_keras.layers.core_layer import CoreLayer
from dart_keras.private_apis import (
    Carry,
    VariableReplacement,
    forget_compiled_functions,
    known_variables,
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

    Works between two steps of a running `fit`, from a callback. Functions that the user has
    compiled cannot be adapted: a warning says so, unless the layer's `on_resize` tells the user.
    """
    models = {id(m): m for each in resizings for m in owners_of(each.layer)}
    for model in models.values():
        read_state_back(model)
    replacements: dict[int, VariableReplacement] = {}
    before: list[keras.Variable] = []
    for each in resizings:
        old = each.layer.cores
        before += each.layer.variables
        if each.fix_ranks:
            each.layer.forget_adaptation()
        with scope_of(models.values()):
            # In a strategy's scope, variables start on all workers with the chief's values.
            new = each.layer.replace_cores(each.cores)
        maps = as_on_chief(models.values(), each.maps)
        for k, (core, after) in enumerate(zip(old, new, strict=True)):
            replacements[id(core)] = VariableReplacement(
                after, _carrier(tuple(core.shape), maps, k)
            )
    removed = {id(v) for v in before} - {id(v) for each in resizings for v in each.layer.variables}
    for model in models.values():
        update_owner(model, replacements, removed)
    layers = [each.layer for each in resizings]
    held = [layer.name for layer in layers if forget_compiled_functions(layer)]
    told = [layer.name for layer in layers if layer.resize_callbacks]
    if untold := [name for name in held if name not in told]:
        warnings.warn(
            f"The layers {untold} have other cores now. A function that you have compiled "
            "(`tf.function`, `jax.jit`) has used the former ones and goes on with them. Make it "
            "again before its next step; `layer.on_resize` tells when, in place of this warning.",
            stacklevel=3,
        )
    for layer in layers:
        for callback in layer.resize_callbacks:
            callback(layer)


def update_owner(
    model: keras.Model,
    replacements: Mapping[int, VariableReplacement],
    removed: Collection[int] = (),
) -> None:
    """Rebuild the model's optimizer for its present variables, and its compiled functions.

    Args:
        model: The model.
        replacements: By the `id` of a variable that is gone, its replacement.
        removed: The ids of all variables that are gone.
    """
    optimizer = getattr(model, "optimizer", None)
    # What is frozen stays known, so that it can be trained once it is unfrozen. So do variables of
    # others that are trained together with the model.
    known = [
        replacements[id(v)].variable if id(v) in replacements else v
        for v in known_variables(optimizer)
        if id(v) in replacements or id(v) not in removed
    ]
    left = {id(v): v for v in [*model.trainable_variables, *known]}
    ordered = [left.pop(id(v)) for v in model.variables if id(v) in left]
    with scope_of([model]):
        rebuild_optimizer(optimizer, [*ordered, *left.values()], replacements)
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
