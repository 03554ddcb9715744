"""Callbacks that keep a best value, which says nothing about a smaller model."""

from collections.abc import Sequence
from typing import Any

import keras


def check_keep_best(restarts: Sequence[Any]) -> None:
    """Check that callbacks can be started over.

    Raises:
        ValueError: If one of them keeps no best value.
    """
    for other in restarts:
        if not isinstance(other, keras.callbacks.Callback) or not hasattr(other, "best"):
            raise ValueError(
                "Expected `restarts` to hold callbacks that keep a best value, such as "
                f"`EarlyStopping`. Received: {other!r}"
            )


def check_same_model(restarts: Sequence[keras.callbacks.Callback], model: keras.Model) -> None:
    """Check that callbacks are of the `fit` that trains a model.

    Raises:
        ValueError: If one of them has not got the model that is trained.
    """
    for other in restarts:
        if other.model is not model:
            raise ValueError(
                "Expected `restarts` to hold callbacks of the same `fit`: give it to the "
                f"`callbacks` of `fit`, too. Received: {other!r}, which has not got the model"
            )


def restart(restarts: Sequence[Any]) -> None:
    """Start callbacks over."""
    for monitor in restarts:
        monitor.best = getattr(monitor, "baseline", None)
        # Where they reset the weights and the patience that go with the best value.
        monitor.on_train_begin()
