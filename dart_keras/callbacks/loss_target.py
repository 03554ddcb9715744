"""The validation loss that a model may have after a cut."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.callbacks.fit_data import validation_data, validation_loss
from dart_keras.layers.tt_layer import TTLayer
from dart_keras.selection.loss_selection import LossSelection
from dart_keras.selection.selection import Selection


class LossTarget:
    """Follows the validation loss of a training, for selections that keep to one.

    Args:
        selection: Any selection. If it is no `LossSelection`, nothing is measured.

    Attributes:
        least: The least validation loss until now, without the rank penalty; `None` before it is
            known.
        last: That of the last epoch.
        limit: The largest validation loss that the last selection allowed; `None` before.
    """

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.least: float | None = None
        self.last: float | None = None
        self.limit: float | None = None

    def check(self) -> None:
        """Check that there are validation data, if they are needed, for more than one time.

        Raises:
            ValueError: If there are not.
        """
        if not isinstance(self._selection, LossSelection):
            return
        if isinstance(data := validation_data(), Iterator):
            raise ValueError(
                "RankDiscretization expected validation data that can be gone through again and "
                "again, to compare losses: arrays, a `tf.data.Dataset` or a `PyDataset`. "
                f"Received: {data!r}, with {self._selection}"
            )
        if data is None:
            raise ValueError(
                "RankDiscretization expected validation data to measure the loss with. Give "
                "`validation_data` or `validation_split` to `fit`, or a budget of size. "
                f"Received: none, with {self._selection}"
            )

    def note(self, logs: dict[str, Any]) -> None:
        """Take in the logs of an epoch."""
        self.last = logs.get("val_data_loss")
        self._note(self.last)

    def update(self, model: keras.Model, layers: Sequence[TTLayer]) -> None:
        """Set the limit that the selection keeps to, at the beginning of an epoch.

        Args:
            model: The model in training.
            layers: Its TT layers.
        """
        if isinstance(self._selection, LossSelection):
            self.check()
            self._selection.measure = lambda: validation_loss(model, layers)
            # Also where a resumed training does not know the epochs before.
            self._note(self._selection.measure())
            if self.least is not None:
                self.limit = self._selection.limit = self._selection.budget.limit_for(self.least)

    def _note(self, loss: float | None) -> None:
        if loss is not None and np.isfinite(loss):
            self.least = loss if self.least is None else min(loss, self.least)
