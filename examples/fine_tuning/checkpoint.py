"""A checkpoint after every epoch, with all that a run needs to go on."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import ops

import dart_keras as dk
from examples.language_model.batches import Position

CHECKPOINT = "last.weights.h5"
# The file while it is being written.
_PARTIAL = f"partial-{CHECKPOINT}"
# In Keras's file, beside the weights.
_STATE = "training"


class Checkpoint(keras.callbacks.Callback):
    """Saves the run after each epoch, and goes on from there.

    Must be the last callback, because it saves the state of the ranks.

    Args:
        folder: Folder of the run. Its checkpoint is always a whole file, the old or the new one.
        settings: The settings of the run, JSON-serializable.
        position: Position that the batches are read from.
        stateful: The callbacks that learn the ranks, which have `get_state` and `set_state`.

    Attributes:
        history: Logs of every epoch, including those before an interruption, with the median time
            of a step.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        position: Position,
        stateful: Sequence[dk.callbacks.RankDiscretization | dk.callbacks.AdaLoRAAllocation],
    ) -> None:
        super().__init__()
        self.path = folder / CHECKPOINT
        self.settings = settings
        self.position = position
        self.stateful = stateful
        self.history: list[dict[str, float]] = []
        self._started = 0.0
        self._seconds: list[float] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.path.exists():
            return
        state = read_state(self.path)
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self.path)
        for variable, value in zip(_seeds(self.model), state["seeds"], strict=True):
            variable.assign(value)
        self.history = state["history"]
        for callback, its in zip(self.stateful, state["callbacks"], strict=True):
            callback.set_state(its)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.position.move(epoch, 0)
        self._seconds = []

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._seconds.append(time.perf_counter() - self._started)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        entry = {name: float(value) for name, value in (logs or {}).items()}
        self.history.append({**entry, "seconds_per_step": float(np.median(self._seconds))})
        state = {
            "settings": self.settings,
            "history": self.history,
            "seeds": [ops.convert_to_numpy(each).tolist() for each in _seeds(self.model)],
            "callbacks": [each.get_state() for each in self.stateful],
        }
        partial = self.path.with_name(_PARTIAL)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.model.save_weights(partial, overwrite=True)
        with h5py.File(partial, "a") as file:
            file[_STATE] = json.dumps(state)
        os.replace(partial, self.path)


def read_state(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds beside the weights: `settings`, `history` and so on.

    Raises:
        ValueError: If the file is no checkpoint.
    """
    try:
        with h5py.File(path) as file:
            return json.loads(file[_STATE][()])
    except (OSError, KeyError) as error:
        raise ValueError(f"Expected a checkpoint of `train.py`. Received: {path}") from error


def remove_checkpoint(folder: Path) -> None:
    """Remove the checkpoint of a run, if there is one, and what is left of one."""
    for name in (CHECKPOINT, _PARTIAL):
        (folder / name).unlink(missing_ok=True)


def _seeds(model: keras.Model) -> list[keras.Variable]:
    # Keras saves weights, but not the state of the dropout layers' random number generators.
    weights = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [variable for variable in model.variables if id(variable) not in weights]
