"""What a callback does with those beside it: their order, and that they start over."""

import re

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
