"""Changing the variables of a layer that is built already."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras.src.utils.tracking import DotNotTrackScope

from dart_keras.private_apis.keras_sublayers import OF_TENSORFLOW, substituted

_STORES = ("trainable_variables", "non_trainable_variables")


@contextmanager
def changing_state(layer: keras.Layer) -> Iterator[None]:
    """Allow variables and sublayers to be added to a built layer."""
    locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if locked:
            layer._tracker.lock()


def remove_sublayer(layer: keras.Layer, name: str) -> None:
    """Take a sublayer, with its variables, from a built layer; the attribute becomes `None`.

    Args:
        layer: A built layer.
        name: The attribute that holds the sublayer.
    """
    with changing_state(layer):
        layer._tracker.untrack(getattr(layer, name))
    setattr(layer, name, None)


def replace_variables(
    layer: keras.Layer,
    old: Sequence[keras.Variable],
    make_new: Callable[[], Sequence[keras.Variable]],
) -> list[keras.Variable]:
    """Replace the layer's first variables by new ones, keeping the order of all.

    The order is what `get_weights` and `set_weights` go by.

    Args:
        layer: A built layer.
        old: The variables to remove, which come before all others of the layer.
        make_new: Creates as many new ones with the layer's `add_weight`.

    Returns:
        The new variables.
    """
    gone = {id(variable) for variable in old}
    # A frozen layer's variables are not trainable now, and yet belong to the trainable ones.
    kept = [
        (store, variable)
        for store in _STORES
        for variable in layer._tracker.config[store][1]
        if id(variable) not in gone
    ]
    with changing_state(layer):
        for variable in [*old, *(variable for _, variable in kept)]:
            layer._untrack_variable(variable)
        new = list(make_new())
        for before, after in zip(old, new, strict=True):
            # Made outside the model's name scopes; optimizers may choose variables by path.
            after._path = before.path
            after.trainable = before.trainable
            _keep_parameter(before, after)
        for store, variable in kept:
            layer._tracker.add_to_store(store, variable)
            layer._post_track_variable(variable)
    track_parameters(layer)
    return new


def share_variables(layer: keras.Layer, others: Mapping[int, keras.Variable]) -> None:
    """Let a layer use the variables of another one in the place of its own.

    Args:
        layer: A built layer.
        others: By the `id` of a variable of the layer, the variable of the same shape and dtype to
            use. Both layers see its changes.
    """
    held = [(store, each) for store in _STORES for each in layer._tracker.config[store][1]]
    with changing_state(layer):
        for _, variable in held:
            layer._untrack_variable(variable)
        for name, value in list(vars(layer).items()):
            if name not in OF_TENSORFLOW:
                changed = substituted(value, others)
                if changed is not value:
                    # Tracked below, in the order of the layer's weights.
                    with DotNotTrackScope():
                        setattr(layer, name, changed)
        for store, variable in held:
            used = others.get(id(variable), variable)
            layer._tracker.add_to_store(store, used)
            layer._post_track_variable(used)
    track_parameters(layer)


def track_parameters(layer: keras.Layer) -> None:
    """Have the layer list its present variables as parameters for PyTorch, and no others."""
    if hasattr(layer, "_track_variables"):
        layer._track_variables()


def _keep_parameter(before: keras.Variable, after: keras.Variable) -> None:
    # PyTorch's optimizers, and all modules around a layer, hold its parameters themselves.
    if keras.backend.backend() != "torch":
        return
    import torch

    parameter: Any = before._value
    value = after._value.data
    parameter.grad = None
    # Losses that are still held have a node of the former shape for the parameter, which later ones
    # would use as well. Data of another dtype in between make PyTorch begin a new one.
    parameter.data = value.to(torch.float64 if value.dtype != torch.float64 else torch.float32)
    parameter.data = value
    after._value = parameter
