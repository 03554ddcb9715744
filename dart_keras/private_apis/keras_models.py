"""Which models run a layer, and what these compiled from its variables."""

import weakref
from typing import Any

import keras
from keras.src.backend.common import global_state

_owners: "weakref.WeakKeyDictionary[keras.Layer, weakref.WeakSet[keras.Model]]" = (
    weakref.WeakKeyDictionary()
)


def add_owner(layer: keras.Layer, model: keras.Model) -> None:
    """Record that the model's compiled functions and optimizer hold variables of the layer."""
    _owners.setdefault(layer, weakref.WeakSet()).add(model)


def note_calling_model(layer: keras.Layer) -> None:
    """Record the outermost model that is being called; for use in a layer's `call`."""
    context = global_state.get_global_attribute("current_call_ctx")
    entry = getattr(context, "entry_layer", None)
    if isinstance(entry, keras.Model):
        add_owner(layer, entry)


def owners_of(layer: keras.Layer) -> list[keras.Model]:
    """Return the models recorded for the layer that still exist."""
    return list(_owners.get(layer, ()))


def read_state_back(model: keras.Model) -> None:
    """Bring variables up to date where the backend trains on copies of them, as JAX does."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def retrace(model: keras.Model) -> None:
    """Have the train, test and predict functions made again, also inside a running `fit`.

    `fit` asks for its train function once, at its start, so that one is made here; the others are
    made by `evaluate` and `predict` where they are missing. On PyTorch nothing is compiled, but
    gradients are set to zero for the parameters that the model has listed.
    """
    if hasattr(model, "torch_params"):
        model._track_variables()
    if model.train_function is not None:
        model.make_train_function(force=True)
    model.test_function = None
    model.predict_function = None


def compiled_loss(model: keras.Model, targets: Any, outputs: Any) -> Any:
    """Return the loss given to `compile`, without the penalties that `compute_loss` adds to it.

    These cannot be subtracted again: under a strategy Keras scales them by the number of replicas.
    """
    return model._compile_loss(targets, outputs)


def input_structure(model: keras.Model) -> Any:
    """Return how a Sequential or functional model takes its inputs: a tensor, list or dict."""
    return getattr(model, "_inputs_struct", model.inputs[0])


def recorded_shapes(model: keras.Model) -> dict[str, Any] | None:
    """Return the shapes of `call`'s arguments that a subclassed model was built with, by name."""
    return model._build_shapes_dict
