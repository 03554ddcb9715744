"""One training run, and what is measured of its model."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from benchmarks.no_knob.problem import Data, Layers, Problem, Rows
from dart_keras.callbacks.tt_layers import tt_layers_in

# Outputs of all rows may not fit into memory.
_ROWS_AT_A_TIME = 500


@dataclass(frozen=True)
class Run:
    """A problem with its data, and how long and from which seed to train.

    Attributes:
        problem: The problem.
        data: Its data.
        seed: Seed of initial weights and shuffling.
        epochs: Number of epochs.
        target: Parameters of all cores that ways by size may use.
    """

    problem: Problem
    data: Data
    seed: int
    epochs: int
    target: int

    def compiled(self, layers: Layers) -> keras.Model:
        """Return a model with new weights, ready for `fit`."""
        keras.utils.set_random_seed(self.seed)
        problem = self.problem
        model = problem.build(layers)
        steps = -(-len(self.data.training) // problem.batch)
        rate = problem.dense_rate if layers.dense else problem.tt_rate
        model.compile(
            problem.optimizer(problem, model, rate, self.epochs, steps),
            problem.loss(),
            jit_compile=problem.jit,
        )
        return model

    def fit(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        first: int = 0,
        last: int | None = None,
    ) -> float:
        """Train from the end of one epoch to the end of another, and return the seconds."""
        start = time.perf_counter()
        training, validation = self.data.training, self.data.validation
        model.fit(
            training.x,
            training.y,
            batch_size=self.problem.batch,
            initial_epoch=first,
            epochs=self.epochs if last is None else last,
            validation_data=(validation.x, validation.y),
            callbacks=list(callbacks),
            verbose=0,
        )
        return time.perf_counter() - start

    def measure(self, model: keras.Model) -> dict[str, Any]:
        """Return size, ranks, losses and metric of a trained model."""
        layers = tt_layers_in(model)
        sizes = {layer.name: sum(int(np.prod(c.shape)) for c in layer.cores) for layer in layers}
        validation_loss, _ = self._evaluate(model, self.data.validation)
        test_loss, metric = self._evaluate(model, self.data.test)
        return {
            "size": sum(sizes.values()) if layers else self._dense_size(),
            "parameters": model.count_params(),
            "metric": metric,
            "validation_loss": validation_loss,
            "test_loss": test_loss,
            "ranks": {layer.name: list(layer.ranks) for layer in layers},
            "sizes": sizes,
        }

    def _dense_size(self) -> int:
        # What the TT layers stand for.
        modes = tt_layers_in(self.problem.build(Layers(ranks=1)))
        return sum(int(np.prod(layer.matrix_shape)) for layer in modes)

    def _evaluate(self, model: keras.Model, rows: Rows) -> tuple[float, float]:
        # The losses of `evaluate` have the rank penalty in them.
        loss, metric = self.problem.loss(), self.problem.metric
        sums = np.zeros(2)
        for start in range(0, len(rows), _ROWS_AT_A_TIME):
            chunk = rows[start : start + _ROWS_AT_A_TIME]
            outputs = model.predict_on_batch(chunk.x)
            values = float(loss(chunk.y, outputs)), metric.of_rows(chunk.y, outputs)
            sums += len(chunk) * np.array(values)
        mean_loss, mean = (sums / len(rows)).tolist()
        return mean_loss, metric.of_mean(mean, rows.y)
