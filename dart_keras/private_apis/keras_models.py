"""Which models run a layer, and what these compiled from its variables."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
from keras.src.backend.common import global_state

from dart_keras.private_apis.keras_layers import flatten_layers
from dart_keras.private_apis.keras_optimizers import known_variables
from dart_keras.private_apis.keras_variables import track_parameters

_owners: "weakref.WeakKeyDictionary[keras.Layer, weakref.WeakSet[keras.Model]]" = (
    weakref.WeakKeyDictionary()
)


# What a training step on JAX takes and returns.
_JAX_STATE = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
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
    if _trains_copies(model):
        model.jax_state_sync()


def _trains_copies(model: keras.Model) -> bool:
    return hasattr(model, "jax_state_sync")


def retrace(model: keras.Model) -> None:
    """Have the train, test and predict functions made again, also inside a running `fit`.

    `fit` asks for its train function once, at its start, so that one is made here; the others are
    made by `evaluate` and `predict` where they are missing. On PyTorch nothing is compiled, but
    gradients are set to zero for the parameters that the model has listed.
    """
    for layer in (model, *flatten_layers(model)):
        track_parameters(layer)
    if model.train_function is not None:
        model.make_train_function(force=True)
        model.train_function = _explaining_unknown_variables(model, model.train_function)
    model.test_function = None
    model.predict_function = None


def _explaining_unknown_variables(
    model: keras.Model, function: Callable[..., Any]
) -> Callable[..., Any]:
    def train(*args: Any) -> Any:
        try:
            return function(*args)
        except ValueError as error:
            trained = {id(v): v.path for v in model.trainable_variables}
            known = {id(v): v.path for v in known_variables(model.optimizer)}
            # Those that are frozen need not be known, and on JAX they must not be.
            unexpected = known.keys() - trained.keys() if _trains_copies(model) else set()
            paths = [trained[key] for key in trained if key not in known]
            paths += [known[key] for key in known if key in unexpected]
            if not paths or not model.optimizer.built:
                raise
            if _trains_copies(model):
                # `fit` takes the values from the variables, and leaves them without on an error.
                model._jax_state = dict(zip(_JAX_STATE, args[0], strict=True))
                model.jax_state_sync()
            raise ValueError(
                "Expected `compile` to be called after layers have been frozen or unfrozen. "
                f"Received: model {model.name!r}, whose optimizer was built for other variables "
                f"than are trainable now; they differ in {paths}. Call `model.compile` again"
            ) from error

    return train


def compiled_loss(model: keras.Model, targets: Any, outputs: Any) -> Any:
    """Return the loss given to `compile`, without the penalties that `compute_loss` adds to it.

    These cannot be subtracted again: under a strategy Keras scales them by the number of replicas.
    """
    return model._compile_loss(targets, outputs)


def has_compiled_loss(model: keras.Model) -> bool:
    """Return whether a loss was given to `compile`, which a custom `train_step` need not have."""
    return model._compile_loss is not None


def input_structure(model: keras.Model) -> Any:
    """Return how a Sequential or functional model takes its inputs: a tensor, list or dict."""
    return getattr(model, "_inputs_struct", model.inputs[0])


def recorded_shapes(model: keras.Model) -> dict[str, Any] | None:
    """Return the shapes of `call`'s arguments that a subclassed model was built with, by name."""
    return model._build_shapes_dict
