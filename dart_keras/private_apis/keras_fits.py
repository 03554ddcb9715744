"""The `fit` that is running, seen from the layers that it calls."""

import sys
import warnings
from types import FrameType
from typing import Any, NamedTuple

import keras


class RunningFit(NamedTuple):
    """A call of `Model.fit` that has not returned.

    Attributes:
        model: The model in training.
        batch_size: The size of its batches, `None` if unknown.
        callbacks: Its callbacks.
        x: Its argument of that name, without the rows that `validation_split` has taken away.
        y: The same.
        validation: The arguments with which `Model.evaluate` goes through its validation data;
            `None` without such data.
        key: An object that lives as long as the call.
        caller: The frame that called `fit`.
    """

    model: keras.Model
    batch_size: int | None
    callbacks: list[keras.callbacks.Callback]
    x: Any
    y: Any
    validation: dict[str, Any] | None
    key: Any
    caller: FrameType

    def warn(self, message: str) -> None:
        """Warn at the line that called `fit`."""
        names = self.caller.f_globals
        warnings.warn_explicit(
            message,
            UserWarning,
            self.caller.f_code.co_filename,
            self.caller.f_lineno,
            module=names.get("__name__", ""),
            registry=names.setdefault("__warningregistry__", {}),
        )


def running_fit() -> RunningFit | None:
    """Return the innermost `fit` that this thread is in, `None` without one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_locals
        is_fit = frame.f_code.co_name == "fit" and isinstance(found.get("self"), keras.Model)
        if is_fit and "epoch_iterator" in found:
            iterator = found["epoch_iterator"]
            callbacks = getattr(found.get("callbacks"), "callbacks", [])
            return RunningFit(
                found["self"],
                _batch_size(iterator),
                callbacks,
                found.get("x"),
                found.get("y"),
                _validation(found),
                iterator,
                _caller(frame),
            )
        frame = frame.f_back
    return None


def warn_in_fit(message: str) -> None:
    """Warn at the line that called the `fit` that is running, else at that of the caller's caller.

    Args:
        message: What to say, as a `UserWarning`.
    """
    fit = running_fit()
    if fit is None:
        warnings.warn(message, stacklevel=3)
    else:
        fit.warn(message)


def _caller(frame: FrameType) -> FrameType:
    # Keras wraps its methods, and `fit` of a subclass may call that of `Model`.
    model = frame.f_locals["self"]
    while frame.f_back is not None:
        within_keras = frame.f_globals.get("__name__", "").startswith("keras.")
        if not within_keras and frame.f_locals.get("self") is not model:
            break
        frame = frame.f_back
    return frame


def _validation(found: dict[str, Any]) -> dict[str, Any] | None:
    if (data := found.get("validation_data")) is None:
        return None
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return {
        "x": x,
        "y": y,
        "sample_weight": sample_weight,
        "batch_size": found.get("validation_batch_size") or found.get("batch_size"),
        "steps": found.get("validation_steps"),
    }


def _batch_size(iterator: Any) -> int | None:
    if (size := iterator.data_adapter.batch_size) is not None:
        return int(size)
    # Of TensorFlow's data sets the last one that makes batches knows.
    dataset = getattr(iterator.data_adapter, "_dataset", None)
    while dataset is not None:
        if (size := getattr(dataset, "_batch_size", None)) is not None:
            return int(size)
        dataset = getattr(dataset, "_input_dataset", None)
    return None
