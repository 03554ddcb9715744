"""What drives the ranks in a training loss, apart from the loss of the data."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dart_keras.layers.tt_layer import TTLayer
from dart_keras.private_apis import read_state_back


class RankPenalty:
    """The mean of the rank penalty over the steps of an epoch, as Keras's `loss` is a mean.

    It is measured before the steps 0, 1, 2, 4, 8... and at the end of the epoch, with straight
    lines between: it can take as long as a step. With the recommended settings of the guides,
    `data_loss` was then within 1 % of the exact one in every epoch, and with the penalty at the end
    of the epoch up to twice as large.
    """

    def __init__(self) -> None:
        self._epoch = -1
        self._restart()

    def _restart(self) -> None:
        self._steps = 0
        # Before which step it was measured last, what it was then, and its sum over earlier steps.
        self._measured_step = 0
        self._measured: float | None = None
        self._sum = 0.0

    def begin_epoch(self, epoch: int) -> None:
        """Forget the last epoch; not the first steps of this one, restored by `set_state`."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._restart()

    def begin_step(self, model: keras.Model, layers: Sequence[TTLayer]) -> None:
        """Count a step, and measure before some of them."""
        # The first step may build the model.
        if self._steps & (self._steps - 1) == 0 and all(layer.built for layer in layers):
            self._add(rank_penalty(model, layers))
        self._steps += 1

    def add_to(self, logs: dict[str, Any], model: keras.Model, layers: Sequence[TTLayer]) -> None:
        """Log the penalty, and the losses without it, at the end of an epoch.

        Args:
            logs: The logs of the epoch. They get `rank_penalty`, and `data_loss` and
                `val_data_loss` if they have `loss` and `val_loss`.
            model: The model in training.
            layers: Its TT layers.
        """
        at_end = rank_penalty(model, layers)
        self._add(at_end)
        # An own loop may tell of no steps.
        mean = self._sum / self._steps if self._steps else at_end
        logs["rank_penalty"] = mean
        if "loss" in logs:
            logs["data_loss"] = float(logs["loss"]) - mean
        if "val_loss" in logs:
            # The weights do not change during validation, and gates have no cost in it.
            validated = rank_penalty(model, layers, training=False)
            logs["val_data_loss"] = float(logs["val_loss"]) - validated

    def _add(self, value: float) -> None:
        steps = self._steps - self._measured_step
        if steps:
            before = value if self._measured is None else self._measured
            self._sum += steps * before + (value - before) * (steps - 1) / 2
        self._measured, self._measured_step = value, self._steps

    def get_state(self) -> dict[str, Any]:
        """Return what was measured in the present epoch, as a JSON-serializable dict."""
        return {name.removeprefix("_"): value for name, value in vars(self).items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        for name, value in state.items():
            setattr(self, f"_{name}", value)


def rank_penalty(model: keras.Model, layers: Sequence[TTLayer], training: bool = True) -> float:
    """Return what rank regularizers and rank gates add to the loss of the present weights.

    Args:
        model: The model that the layers are of.
        layers: TT layers.
        training: Whether rank gates count.

    Example:
        >>> import numpy as np
        >>> from dart_keras.layers import TTDense
        >>> from dart_keras.regularizers import GroupLasso
        >>> layer = TTDense(16, ranks=4, rank_regularizer=GroupLasso(0.1))
        >>> model = keras.Sequential([keras.Input((16,)), layer])
        >>> penalty = rank_penalty(model, model.layers)
        >>> bool(np.isclose(penalty, sum(float(loss) for loss in model.losses)))
        True
    """
    read_state_back(model)
    penalty = 0.0
    for layer in layers:
        for core in layer.cores:
            # Keras leaves out what is frozen.
            if core.regularizer is not None and core.trainable:
                value = ops.convert_to_tensor(ops.convert_to_numpy(core))
                penalty += float(core.regularizer(value))
        if training and layer.rank_gates is not None:
            penalty += float(layer.rank_gates.penalty())
    return penalty
