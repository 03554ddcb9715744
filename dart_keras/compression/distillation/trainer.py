"""Training a model on the outputs of another."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration.batches import (
    BATCH,
    MOST_ROWS,
    CalibrationBatches,
    batch_size_of,
)
from dart_keras.compression.calibration.inference import check_finite_outputs, infer, infer_checked
from dart_keras.compression.calibration.output_loss import (
    LEAST_PROBABILITY,
    are_probabilities,
    end_error,
    float_outputs,
)
from dart_keras.compression.calibration.sequence_padding import visible_rows
from dart_keras.model_surgery.clone import states_of
from dart_keras.model_surgery.finite_weights import check_no_nans
from dart_keras.private_apis import flatten_layers
from dart_keras.utils.progress import progress, progress_bar

# The share of the steps in which the rate rises.
_WARMUP = 0.1
# How much of a training a trial of it takes, and steps that a trial takes at least.
_TRIAL_SHARE = 0.2
_LEAST_STEPS = 100
# Rates that are tried, for as long as a larger one gains.
_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
# At 1 doubtful rows alone make the gradient; softer ones also say what else a sure row resembles.
_TEMPERATURES = (1, 4)


class Distillation:
    """A training on what a model makes of some inputs.

    Args:
        original: The model to learn from. It is left as it is.
        data: Inputs that it takes, all rows of them.
        epochs: How often to go through them.
        batch_size: Rows of a step, unless the model is bound to a number.

    Raises:
        ValueError: If the model does not take the data, or it gives no floats.
    """

    def __init__(
        self,
        original: keras.Model,
        data: CalibrationBatches,
        epochs: int,
        batch_size: int = BATCH,
    ) -> None:
        batches = data.every
        outputs = [infer_checked(original, batch) for batch in batches]
        if not float_outputs(outputs[0]):
            raise ValueError(
                "Expected outputs that are floats, which training could change. Received: "
                f"{original.name!r} with {[y.dtype for y in keras.tree.flatten(outputs[0])]}"
            )
        row = 0
        for batch, given in zip(batches, outputs, strict=True):
            check_finite_outputs(original, given, row)
            row += len(keras.tree.flatten(batch)[0])
        self._original = original
        judged = -(-MOST_ROWS // len(keras.tree.flatten(batches[0])[0]))
        self._judged, self._expected = batches[:judged], outputs[:judged]
        self._inputs = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        self._targets = [
            np.concatenate(parts)
            for parts in zip(*(map(_arrays, (float_outputs(y) for y in outputs))), strict=True)
        ]
        self._epochs = epochs
        self._batch_size = batch_size_of(original) or batch_size

    def check(self, student: Any) -> None:
        """Raise a ValueError if a model is not one that could have been made of the original."""
        if not isinstance(student, keras.Model) or not student.built:
            raise ValueError(f"Expected `small` to be a built Keras model. Received: {student!r}")
        check_no_nans(student)
        expected, received = self._expected[0], infer(student, self._judged[0])
        shapes = [[tuple(y.shape) for y in keras.tree.flatten(x)] for x in (expected, received)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Expected `small` to be made of {self._original.name!r}, with outputs of the "
                f"shapes {shapes[0]} for a batch. Received: {student.name!r} with {shapes[1]}"
            )

    def error(self, student: keras.Model) -> float:
        """Return the squared error of a model's outputs on the first of the data."""
        received = (infer(student, batch) for batch in self._judged)
        visible = visible_rows(self._original, self._judged)
        return end_error(self._expected, received, visible)

    def best_rate(self, student: keras.Model) -> float:
        """Return the learning rate with the least error after a short training.

        The model's weights are then what they were.
        """
        weights = student.get_weights()
        best, least = _RATES[0], math.inf
        for rate in progress(_RATES, "trying learning rates"):
            self._try(student, rate)
            error = self.error(student)
            student.set_weights(weights)
            # Also where an error is no number.
            if not error < least:
                break
            best, least = rate, error
        return best

    def train(self, student: keras.Model, rate: float) -> keras.callbacks.History:
        """Train a model for all epochs.

        Where it ends farther from the original than it began, its weights are put back.
        """
        before, weights = self.error(student), student.get_weights()
        steps = self._epochs * self._steps(len(self._targets[0]))
        with progress_bar("recovering", steps) as bar:
            count = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: bar.update()
            )
            history = self._fit(student, rate, self._inputs, self._targets, self._epochs, [count])
        if not self.error(student) <= before:
            student.set_weights(weights)
        return history

    def _try(self, student: keras.Model, rate: float) -> None:
        rows = len(self._targets[0])
        steps = self._epochs * self._steps(rows)
        wanted = min(steps, max(_LEAST_STEPS, math.ceil(_TRIAL_SHARE * steps)))
        taken = np.linspace(0, rows - 1, min(rows, wanted * self._batch_size)).astype(int)
        inputs = keras.tree.map_structure(lambda x: x[taken], self._inputs)
        targets = [y[taken] for y in self._targets]
        epochs = max(1, wanted * self._batch_size // len(taken))
        self._fit(student, rate, inputs, targets, epochs)

    def _steps(self, rows: int) -> int:
        return math.ceil(rows / self._batch_size)

    def _fit(
        self,
        student: keras.Model,
        rate: float,
        inputs: Any,
        targets: list[np.ndarray],
        epochs: int,
        callbacks: Sequence[Any] = (),
    ) -> keras.callbacks.History:
        distilled = _Distilled(student)
        steps = epochs * self._steps(len(targets[0]))
        # From all targets, so that a trial has the loss of the training.
        losses = [_loss(y) for y in self._targets]
        distilled.compile(keras.optimizers.Lamb(_rates(rate, steps)), loss=losses)
        return distilled.fit(
            inputs,
            targets,
            batch_size=self._batch_size,
            epochs=epochs,
            callbacks=[_SameState(student), *callbacks],
            verbose=0,
        )


class _Distilled(keras.Model):
    """A model to be trained as it works in use, without being compiled itself."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__(name="distilled")
        self.inner = inner
        self.built = True

    def call(self, inputs: Any) -> Any:
        return float_outputs(self.inner(inputs, training=False))


class _SameState(keras.callbacks.Callback):
    """Has every step begin from the state that the outputs to be learned began from."""

    def __init__(self, student: keras.Model) -> None:
        super().__init__()
        states = [state for layer in flatten_layers(student) for state in states_of(layer)]
        self._states = [(state, ops.convert_to_numpy(state)) for state in states]

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Put the state back."""
        for state, value in self._states:
            state.assign(value)

    def on_train_end(self, logs: Any = None) -> None:
        """Put the state back."""
        self.on_train_batch_begin(0)


def _rates(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = math.ceil(_WARMUP * steps)
    # A moment's estimates are too rough for whole steps at first.
    return keras.optimizers.schedules.CosineDecay(
        peak / warmup, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(ops.convert_to_numpy(y)) for y in outputs]


def _loss(targets: np.ndarray) -> keras.losses.Loss:
    if are_probabilities(targets):
        return _Divergence()
    return _RelativeError(float(np.var(targets)) or 1.0)


class _Divergence(keras.losses.Loss):
    """Kullback-Leibler, of the probabilities and of what they would be at higher temperatures."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        logits = [ops.log(ops.maximum(y, LEAST_PROBABILITY)) for y in (y_true, y_pred)]
        return sum(
            # Gradients fall with the square of the temperature.
            t**2 * keras.losses.kl_divergence(*(ops.softmax(y / t) for y in logits))
            for t in _TEMPERATURES
        )


class _RelativeError(keras.losses.Loss):
    def __init__(self, variance: float) -> None:
        super().__init__()
        self._variance = variance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1) / self._variance
