"""Making a model's compiled functions forget variables that are gone."""

from typing import Any

import keras


def read_state_back(model: keras.Model) -> None:
    """Bring variables up to date where the backend trains on copies of them, as JAX does."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def retrace(model: keras.Model) -> None:
    """Have the train, test and predict functions made again, also inside a running `fit`.

    `fit` asks for its train function once, at its start, so that one is made here; the others are
    made by `evaluate` and `predict` where they are missing.
    """
    if model.train_function is not None:
        model.make_train_function(force=True)
    model.test_function = None
    model.predict_function = None


def compiled_loss(model: keras.Model, targets: Any, outputs: Any) -> Any:
    """What `compile` was given as loss, without the penalties that `compute_loss` adds to it.

    These cannot be subtracted again: under a strategy Keras scales them by the number of replicas.
    """
    return model._compile_loss(targets, outputs)
