"""Singular values in TensorBoard during training."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import dart_keras as dk


class SingularValueHistograms(keras.callbacks.Callback):
    """Writes each bond's singular values to TensorBoard after every epoch, and a plot at the end.

    Args:
        monitor: The callback that records them, which must come first.
        folder: TensorBoard's folder.
        figure: Image file of the plot.
    """

    def __init__(self, monitor: dk.callbacks.RankMonitor, folder: Path, figure: Path) -> None:
        super().__init__()
        self.monitor = monitor
        self.figure = figure
        self._writer = tf.summary.create_file_writer(str(folder / "singular_values"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with self._writer.as_default():
            for bond, history in self.monitor.singular_values.items():
                values = history[-1]
                # Relative to the largest one, as in the selections.
                relative = np.log10(np.maximum(values / values[0], 1e-8))
                tf.summary.histogram(f"log10_relative_singular_values/{bond}", relative, epoch)
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.monitor.epochs:
            self.monitor.plot(self.figure)
