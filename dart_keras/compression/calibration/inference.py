"""Running models on calibration data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


def infer(model: keras.Model, batch: Any) -> Any:
    """Return a model's outputs in inference and restore its state.

    Layers such as a stateful `LSTM` go on from where a run has left them, so that without this two
    runs of the same batch would not give the same outputs.
    """
    with keras.StatelessScope(), _errors_as_raised():
        return model(batch, training=False)


def infer_checked(model: keras.Model, batch: Any) -> Any:
    """Return the outputs for data that the model may not accept.

    Raises:
        ValueError: If it does not.
    """
    try:
        return infer(model, batch)
    except Exception as error:
        shapes = keras.tree.map_structure(lambda x: (None, *x.shape[1:]), batch)
        raise ValueError(
            f"Expected `calibration_data` that the model {model.name!r} takes. Received: inputs of "
            f"shape {shapes}, of which it says: {error}"
        ) from error


@contextmanager
def _errors_as_raised() -> Iterator[None]:
    # Keras puts the arguments of the call, in colours, around what is said of the data.
    filtered = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if filtered:
            keras.config.enable_traceback_filtering()
