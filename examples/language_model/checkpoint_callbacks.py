"""Callbacks that keep the best and the last checkpoint, and go on from the last one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import dart_keras as dk
from examples.language_model.batches import Position
from examples.language_model.checkpoint import read_state, restore

LAST = "last.keras"
BEST = "best.keras"

Write = Callable[[Path, keras.Model, dict[str, Any]], None]


class Best(keras.callbacks.Callback):
    """Keeps the model of the epoch with the lowest perplexity on the validation text.

    A cut makes it start over (`RankDiscretization` sees to that): it is the smaller model that is
    wanted.

    Args:
        path: Where to.
        write: Writes a checkpoint.
    """

    monitor = "val_perplexity"

    def __init__(self, path: Path, write: Write) -> None:
        super().__init__()
        self.path = path
        self.write = write
        self.best: float | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        perplexity = float((logs or {})[self.monitor])
        if self.best is None or perplexity < self.best:
            self.best = perplexity
            self.write(self.path, self.model, {"epoch": epoch + 1, self.monitor: perplexity})


class Last(keras.callbacks.Callback):
    """Saves the run every so many steps and after each epoch, and goes on from what is saved.

    To be the last of the callbacks, because it saves what the others have seen.

    Args:
        path: Where to.
        write: Writes a checkpoint.
        position: What the batches begin from.
        steps: How many steps an epoch has.
        every: After how many steps of an epoch to save, besides at its end.
        keeper: The callback beside it that keeps the best.
        rank_monitor: Likewise, if the model has tensor trains.
        discretization: Likewise, if there is to be a cut.

    Attributes:
        history: The logs of every finished epoch of the run, from before an interruption too.
    """

    def __init__(
        self,
        path: Path,
        write: Write,
        position: Position,
        steps: int,
        every: int,
        keeper: Best,
        rank_monitor: dk.callbacks.RankMonitor | None,
        discretization: dk.callbacks.RankDiscretization | None,
    ) -> None:
        super().__init__()
        self.path = path
        self.write = write
        self.position = position
        self.steps = steps
        self.every = every
        self.keeper = keeper
        self.rank_monitor = rank_monitor
        self.discretization = discretization
        self.history: list[dict[str, Any]] = []
        self._epoch = 0
        self._first_step = 0
        self._metrics: list[Any] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self.path.exists():
            return
        state = read_state(self.path)
        restore(self.path, self.model)
        self.history = state["history"]
        self._first_step = state["step"]
        self._metrics = state["metrics"]
        self.keeper.best = state["best"]
        if self.rank_monitor:
            self.rank_monitor.epochs = state["monitor"]["epochs"]
            self.rank_monitor.singular_values = {
                bond: [np.array(values) for values in history]
                for bond, history in state["monitor"]["singular_values"].items()
            }
        if self.discretization:
            self.discretization.set_state(state["discretization"])

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self.position.move(epoch, self._first_step)
        if self._metrics:
            _restore_metrics(self.model, self._metrics)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = self._first_step + batch + 1
        if self._first_step and step == self.steps:
            # Of an epoch that was begun before an interruption; `fit` has its full length in mind.
            self.model.stop_training = True
        # The end of an epoch saves by itself, and there is no going on from behind its last step.
        if step % self.every == 0 and step < self.steps:
            metrics = [ops.convert_to_numpy(v).tolist() for v in self.model.metrics_variables]
            self._save(self._epoch, step, metrics)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        if self._first_step:
            self.model.stop_training = False
        self._first_step = 0
        self._metrics = []
        self._save(epoch + 1, 0, [])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Once more, because a cut after the last epoch is made at the end of the training.
        self._save(len(self.history), 0, [])

    def _save(self, epoch: int, step: int, metrics: list[Any]) -> None:
        state = {
            "epoch": epoch,
            "step": step,
            "metrics": metrics,
            "history": self.history,
            "best": self.keeper.best,
        }
        if self.rank_monitor:
            state["monitor"] = {
                "epochs": self.rank_monitor.epochs,
                "singular_values": {
                    bond: [values.tolist() for values in history]
                    for bond, history in self.rank_monitor.singular_values.items()
                },
            }
        if self.discretization:
            state["discretization"] = self.discretization.get_state()
        self.write(self.path, self.model, state)


def _restore_metrics(model: keras.Model, values: list[Any]) -> None:
    if len(model.metrics_variables) < len(values):
        # Keras makes some of them when they see their first numbers.
        logits = ops.zeros((1, 1, model.output_shape[-1]))
        model.compute_metrics(x=None, y=ops.zeros((1, 1), "int32"), y_pred=logits)
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(value)
