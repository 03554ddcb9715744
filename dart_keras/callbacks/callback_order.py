"""What a callback does with those beside it: their order, and that they start over."""

import re
from collections.abc import Sequence
from typing import Any

import keras

from dart_keras.private_apis import callbacks_beside, warn_in_fit

_LOGGERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)


def warn_of_readers_before(callback: keras.callbacks.Callback, logged: str) -> None:
    """Warn of callbacks that miss what a callback adds to the logs, because they come before it.

    For use in `on_train_begin`.

    Args:
        callback: The callback that adds to the logs.
        logged: A regular expression of the names that it adds.
    """
    before = []
    for other in callbacks_beside(callback):
        if other is callback:
            break
        monitored = getattr(other, "monitor", None)
        if isinstance(other, _LOGGERS) or (
            isinstance(monitored, str) and re.fullmatch(logged, monitored)
        ):
            before.append(type(other).__name__)
    if before:
        name = type(callback).__name__
        warn_in_fit(
            f"{name} expected to come before the callbacks that read logs. Received: "
            f"{', '.join(before)} before it, without the values that it adds to the logs. Put "
            f"{name} first in `callbacks`"
        )


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


def restart(restarts: Sequence[Any], beside: Sequence[Any]) -> None:
    """Start callbacks over, because ranks have changed.

    Args:
        restarts: Those that compare with a best value.
        beside: All callbacks of the training. Weights that they keep to restore, as `EarlyStopping`
            does, no longer have the shapes of the model's: they are forgotten.
    """
    for other in beside:
        if getattr(other, "best_weights", None) is not None:
            other.best_weights = None
    for monitor in restarts:
        monitor.best = getattr(monitor, "baseline", None)
        # Where they reset the weights and the patience that go with the best value.
        monitor.on_train_begin()
