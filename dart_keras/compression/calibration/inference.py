"""Running models on calibration data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.utils.backend_errors import reason_of
from dart_keras.utils.output_agreement import output_names, rows_not_finite


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
            f"shape {shapes}, of which it says: {reason_of(error)}"
        ) from error


def check_finite_outputs(model: keras.Model, outputs: Any, places: np.ndarray) -> None:
    """Check what a model has made of a batch.

    Args:
        model: The model.
        outputs: Its outputs.
        places: Those of the batch's rows in the data that are used.

    Raises:
        ValueError: If an output is not finite, with the rows.
    """
    arrays = [ops.convert_to_numpy(y) for y in keras.tree.flatten(outputs)]
    for name, array in zip(output_names(model, len(arrays)), arrays, strict=True):
        if (rows := rows_not_finite(array, places)) is not None:
            raise ValueError(
                f"Expected output {name!r} of the model {model.name!r} to be finite. Received: "
                f"{rows} of a batch of `calibration_data`. Leave out all rows of this kind, such "
                "as rows of padding only, or have the model give numbers for them"
            )


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
