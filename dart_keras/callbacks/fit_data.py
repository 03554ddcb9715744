"""What a callback can take from the data of the `fit` that runs."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import training_batches
from dart_keras.callbacks.rank_penalty import rank_penalty
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import has_compiled_loss, running_fit

# How many batches tell which ranks the loss needs: a share of an epoch, so that looking at the
# ranks costs little beside training, within limits.
_SHARE = 0.1
_FEWEST, _MOST = 4, 32


def batches_of_fit(epoch: int, steps: int | None) -> list[Any] | None:
    """Return some batches of the data that is trained on, others in every epoch.

    Args:
        epoch: The epoch. The same epoch gives the same batches of the same data.
        steps: The steps of an epoch, `None` if they are not known.

    Returns:
        Pairs of inputs and targets; `None` where there is no `fit`, its data can be gone through
        only once, or its model was compiled without a loss.
    """
    if (fit := running_fit()) is None or not has_compiled_loss(fit.model):
        return None
    count = min(max(round(_SHARE * (steps or 0)), _FEWEST), _MOST)
    return training_batches(fit.x, fit.y, fit.batch_size, count, np.random.default_rng(epoch))


def check_lasting(calibration_data: Any) -> None:
    """Check that data can be gone through more than once.

    Raises:
        ValueError: If they cannot.
    """
    if isinstance(calibration_data, Iterator):
        raise ValueError(
            "Expected `calibration_data` that can be gone through again and again, such as a list "
            f"of batches. Received: calibration_data={calibration_data!r}"
        )


def is_new(model: keras.Model) -> bool:
    """Return whether a model has an optimizer that has not taken a step."""
    optimizer = getattr(model, "optimizer", None)
    return optimizer is not None and int(keras.ops.convert_to_numpy(optimizer.iterations)) == 0


def validation_data() -> Any:
    """Return the inputs that a running `fit` validates with, or what yields them; else `None`."""
    fit = running_fit()
    return None if fit is None or fit.validation is None else fit.validation["x"]


def validation_loss(model: keras.Model, layers: Sequence[TTLayer]) -> float:
    """Return the loss of the validation data of `fit`, without the rank penalty.

    For use at the beginning of an epoch: the model's metrics start over.

    Args:
        model: The model in training.
        layers: Its TT layers.

    Raises:
        ValueError: If there is no `fit` with validation data.
    """
    fit = running_fit()
    arguments = None if fit is None else fit.validation
    if arguments is None:
        raise ValueError("Expected a `fit` with validation data. Received: none")
    logs = model.evaluate(**arguments, verbose=0, return_dict=True)
    model.reset_metrics()
    return float(logs["loss"]) - rank_penalty(model, layers, training=False)
