"""Giving an optimizer new variables without making it forget what it knows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.utils.tracking import DotNotTrackScope


@dataclass(frozen=True)
class VariableReplacement:
    """The variable that comes in the place of another, and how state goes over to it.

    Attributes:
        variable: The new variable.
        carry: Takes an array of optimizer state of the old variable, whether it holds squares and
            the shape that it has for the new variable, and returns the array for that one, or
            `None` to begin with the optimizer's own initial value.
    """

    variable: keras.Variable
    carry: "Carry"


Carry = Callable[[np.ndarray, bool, tuple[int, ...]], np.ndarray | None]


def known_variables(optimizer: keras.optimizers.Optimizer | None) -> list[keras.Variable]:
    """Return the variables that an optimizer is built for; none if it is not built."""
    if optimizer is None or not optimizer.built:
        return []
    return list(optimizer._trainable_variables)


def rebuild_optimizer(
    optimizer: keras.optimizers.Optimizer,
    variables: list[keras.Variable],
    replacements: Mapping[int, VariableReplacement],
) -> None:
    """Build the optimizer again for other variables and hand its state over.

    The optimizer stays the same object, with its iterations, its learning rate or schedule and
    every scalar of state. Slots (momentum, moments, averages, accumulated gradients) of variables
    that stay are kept to the bit, those of replaced variables go through
    `VariableReplacement.carry`, and those of new variables start as the optimizer starts them.

    Args:
        optimizer: The optimizer of a model; nothing happens if it is not built yet.
        variables: All variables that it is to know from now on, in the model's order.
        replacements: By the `id` of a variable that is gone, its replacement.
    """
    if optimizer is None or not optimizer.built:
        return
    # LossScaleOptimizer and MultiOptimizer hold others, which their own `build` builds.
    nested = [optimizer]
    for outer in nested:
        inner = getattr(outer, "inner_optimizer", None)
        nested += getattr(outer, "optimizers", []) if inner is None else [inner]
    states = [_take_state(each) for each in nested]
    for each in nested:
        _unbuild(each, replacements)
    optimizer.build(variables)
    optimizer.built = True
    for each, (scalars, slots, old_variables) in zip(nested, states, strict=True):
        _restore_scalars(each, scalars)
        _restore_slots(each, slots, old_variables, replacements)


def _slot_lists(optimizer: keras.optimizers.Optimizer) -> dict[str, list]:
    # A slot is an attribute that holds one variable (or None) for each trainable variable.
    count = len(optimizer._trainable_variables)
    return {
        name: value
        for name, value in vars(optimizer).items()
        if isinstance(value, list)
        and name not in ("_variables", "_trainable_variables")
        and len(value) == count
        and all(slot is None or isinstance(slot, keras.Variable) for slot in value)
    }


def _take_state(optimizer: keras.optimizers.Optimizer) -> tuple[dict, dict, list]:
    scalars = {
        name: ops.convert_to_numpy(value)
        for name, value in vars(optimizer).items()
        if isinstance(value, keras.Variable)
    }
    slots = {
        name: [None if slot is None else ops.convert_to_numpy(slot) for slot in value]
        for name, value in _slot_lists(optimizer).items()
    }
    return scalars, slots, list(optimizer._trainable_variables)


def _unbuild(
    optimizer: keras.optimizers.Optimizer, replacements: Mapping[int, VariableReplacement]
) -> None:
    lasting = (optimizer._iterations, optimizer._learning_rate)
    optimizer._tracker.stored_ids["variables"].clear()
    with DotNotTrackScope():
        # A new list, because TensorFlow refuses to save a list that items were removed from.
        optimizer._variables = [v for v in lasting if isinstance(v, keras.Variable)]
    belongs, _ = optimizer._tracker.config["variables"]
    optimizer._tracker.config["variables"] = (belongs, optimizer._variables)
    optimizer._tracker.stored_ids["variables"].update(map(id, optimizer._variables))
    excluded: set[Any] | None = getattr(optimizer, "_exclude_from_weight_decay", None)
    if excluded:
        for old in optimizer._trainable_variables:
            if id(old) in replacements and optimizer._var_key(old) in excluded:
                excluded.remove(optimizer._var_key(old))
                excluded.add(optimizer._var_key(replacements[id(old)].variable))
    # A cache keyed by variables; the optimizer makes it again.
    optimizer.__dict__.pop("_exclude_from_weight_decay_cache", None)
    optimizer._trainable_variables_indices = {}
    optimizer.built = False


def _restore_scalars(optimizer: keras.optimizers.Optimizer, scalars: dict) -> None:
    for name, value in scalars.items():
        getattr(optimizer, name).assign(value)


def _restore_slots(
    optimizer: keras.optimizers.Optimizer,
    slots: dict[str, list],
    old_variables: list[keras.Variable],
    replacements: Mapping[int, VariableReplacement],
) -> None:
    places = {id(variable): i for i, variable in enumerate(optimizer._trainable_variables)}
    new_slots = _slot_lists(optimizer)
    means = slots.get(_mean_gradient_slot(optimizer) or "", [None] * len(old_variables))
    for name, values in slots.items():
        # What is never negative for any variable of the model is a square or a magnitude.
        squared = all(value is None or np.all(value >= 0) for value in values)
        for old, value, mean in zip(old_variables, values, means, strict=True):
            replacement = replacements.get(id(old))
            place = places.get(id(old if replacement is None else replacement.variable))
            if value is None or place is None:
                continue
            slot = new_slots[name][place]
            carried = (
                value
                if replacement is None
                else _carry(replacement.carry, value, squared, mean, tuple(slot.shape))
            )
            if carried is not None:
                slot.assign(carried)


def _mean_gradient_slot(optimizer: keras.optimizers.Optimizer) -> str | None:
    # Where the optimizer keeps a running mean of gradients beside that of their squares.
    if getattr(optimizer, "_average_gradients", None):
        return "_average_gradients"
    return "_momentums" if hasattr(optimizer, "beta_1") else None


def _carry(
    carry: Carry,
    value: np.ndarray,
    squared: bool,
    mean: np.ndarray | None,
    shape: tuple[int, ...],
) -> np.ndarray | None:
    if not squared or mean is None or mean.shape != value.shape:
        return carry(value, squared, shape)
    # A mean square is the square of the mean and a variance. The mean goes through the map; the
    # noise around it is taken as independent from entry to entry.
    # In the first steps the mean may be ahead of the mean square, which has a longer memory.
    root = np.sqrt(value)
    mean = np.clip(mean, -root, root)
    variance = carry(value - np.square(mean), True, shape)
    carried_mean = carry(mean, False, shape)
    if variance is None or carried_mean is None:
        return None
    return variance + np.square(carried_mean)
