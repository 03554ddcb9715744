"""Callbacks that keep the best and the last checkpoint, and resume from the last one."""

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


class BestCheckpoint(keras.callbacks.Callback):
    """Keeps the model of the epoch with the lowest validation perplexity.

    It starts over after a truncation (`RankDiscretization` resets it), because the smaller model is
    the wanted one.

    Args:
        path: Path of the checkpoint.
        write: Function that writes a checkpoint.
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


class LastCheckpoint(keras.callbacks.Callback):
    """Saves the run at regular steps and after each epoch, and resumes from the last checkpoint.

    Must be the last callback, because it saves the state of the others.

    Args:
        path: Path of the checkpoint.
        write: Function that writes a checkpoint.
        position: Position that the batches are read from.
        steps: Steps per epoch.
        every: Steps between checkpoints; there is one at each end of an epoch, too.
        keeper: The callback that keeps the best checkpoint.
        rank_monitor: The rank monitor, if the model has TT layers.
        discretization: The callback that truncates the ranks, if there is one.

    Attributes:
        history: Logs of every finished epoch, including those before an interruption.
    """

    def __init__(
        self,
        path: Path,
        write: Write,
        position: Position,
        steps: int,
        every: int,
        keeper: BestCheckpoint,
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
            # The epoch began before an interruption, but `fit` expects its full length.
            self.model.stop_training = True
        # The end of an epoch saves anyway, and a run cannot resume after its last step.
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
        # Save again, because a truncation after the last epoch happens at the end of training.
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
        # Keras creates some of them on their first update.
        logits = ops.zeros((1, 1, model.output_shape[-1]))
        model.compute_metrics(x=None, y=ops.zeros((1, 1), "int32"), y_pred=logits)
    for variable, value in zip(model.metrics_variables, values, strict=True):
        variable.assign(value)
