"""Training a model on the outputs of another."""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import keras
from keras import ops

from dart_keras.compression.calibration.batches import BATCH, MOST_ROWS, CalibrationBatches
from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.inference import check_finite_outputs, infer
from dart_keras.compression.calibration.output_loss import OutputStatistics, end_error
from dart_keras.compression.calibration.partial_runs import Outputs
from dart_keras.compression.calibration.sequence_padding import visible_rows
from dart_keras.compression.distillation.distillation_batches import TrainingBatches
from dart_keras.compression.distillation.distillation_loss import distillation_losses
from dart_keras.compression.distillation.student_training import (
    Rates,
    SameState,
    Student,
    computing_in,
    replaced_layers,
    training_only,
    weights_put_back,
)
from dart_keras.model_surgery.finite_weights import check_no_nans
from dart_keras.utils.progress import progress, progress_bar

# How much of a training a trial of it takes, and steps that a trial takes at least.
_TRIAL_SHARE = 0.2
_LEAST_STEPS = 100
# Rates that are tried, for as long as a larger one gains.
_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
# Rows that results are judged by at least.
_LEAST_JUDGED = 256
# Steps that are timed. The first ones are compiled, too.
_TIMED_STEPS, _COMPILED_STEPS = 12, 3
# The share of the time left that is planned for.
_PLANNED = 0.9


class Distillation:
    """A training on what a model makes of some inputs.

    Args:
        original: The model to learn from. It is left as it is.
        data: Inputs that it takes, all rows of them.
        epochs: How often to go through them.
        batch_size: Rows of a step, unless the model is bound to a number.
        counted: Which outputs are learned; `None` for all of floats.
        end: When it has to be over, by `time.monotonic`, in place of `epochs`.
        replaced_only: Whether only layers that are not of the original's size are trained.
        dtype_policy: In which layers of float32 compute; `None` for float32.

    Raises:
        ValueError: If the model does not take the data, or it gives no floats.
    """

    def __init__(
        self,
        original: keras.Model,
        data: CalibrationBatches,
        epochs: int,
        batch_size: int = BATCH,
        *,
        counted: CountedOutputs | None = None,
        end: float | None = None,
        replaced_only: bool = False,
        dtype_policy: str | None = None,
    ) -> None:
        self._end = end
        self._original = original
        self._counted = counted or CountedOutputs(original)
        self._replaced_only = replaced_only
        self._dtype_policy = dtype_policy
        mixed = data.mixed(batch_size)
        batches = [batch for batch, _ in mixed]
        visible = visible_rows(original, batches)
        bar = iter(progress(range(len(batches)), "running the original"))
        self._outputs = Outputs(original, batches, lambda place: next(bar))
        next(bar, None)
        statistics = OutputStatistics()
        for place, (_, rows) in enumerate(mixed):
            outputs = self._outputs(place)
            if not self._counted(outputs):
                raise ValueError(
                    "Expected outputs that are floats, which training could change. Received: "
                    f"{original.name!r} with {[y.dtype for y in keras.tree.flatten(outputs)]}"
                )
            check_finite_outputs(original, outputs, rows)
            statistics.add(self._counted(outputs), visible=visible[place])
        self._batches = TrainingBatches(batches, self._outputs, self._counted, visible)
        targets = self._counted(self._outputs(0))
        # A row of a sequence makes many of outputs.
        made = max(math.prod(y.shape[:-1]) or 1 for y in targets)
        judged = max(-(-MOST_ROWS // made), -(-_LEAST_JUDGED // len(mixed[0][1])))
        self._judged, self._visible = batches[:judged], visible[:judged]
        variances = [
            variance / (y.shape[-1] if len(y.shape) > 1 else 1)
            for variance, y in zip(statistics.variances(), targets, strict=True)
        ]
        self._losses = distillation_losses(targets, variances)
        self._steps = epochs * len(batches)
        self._student: Student | None = None

    def check(self, student: Any) -> None:
        """Raise a ValueError if a model is not one that could have been made of the original."""
        if not isinstance(student, keras.Model) or not student.built:
            raise ValueError(f"Expected `small` to be a built Keras model. Received: {student!r}")
        check_no_nans(student)
        expected, received = self._outputs(0), infer(student, self._judged[0])
        shapes = [[tuple(y.shape) for y in keras.tree.flatten(x)] for x in (expected, received)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Expected `small` to be made of {self._original.name!r}, with outputs of the "
                f"shapes {shapes[0]} for a batch. Received: {student.name!r} with {shapes[1]}"
            )
        if self._replaced_only and not replaced_layers(student, self._original):
            raise ValueError(
                "Expected `small` to have layers of other sizes than the original's, which "
                f"`replaced_only` trains. Received: {student.name!r}, which has none"
            )

    def error(self, student: keras.Model) -> float:
        """Return the squared error of a model's outputs on some of the data."""
        counted = self._counted
        expected = (counted(self._outputs(place)) for place in range(len(self._judged)))
        received = (counted(infer(student, batch)) for batch in self._judged)
        return end_error(expected, received, self._visible, counted.weights)

    def best_rate(self, student: keras.Model) -> float:
        """Return the learning rate with the least error after a short training.

        The model's weights are then what they were.
        """
        self._plan(student, len(_RATES))
        best, least = _RATES[0], math.inf
        for rate in progress(_RATES, "trying learning rates"):
            with weights_put_back(student):
                self._try(student, rate)
                error = self.error(student)
            # Also where an error is no number.
            if not error < least:
                break
            best, least = rate, error
        return best

    def train(self, student: keras.Model, rate: float) -> keras.callbacks.History:
        """Train a model to the end.

        Where it ends farther from the original than it began, its weights are put back.
        """
        self._plan(student, 0)
        before, weights = self.error(student), student.get_weights()
        with progress_bar("recovering", self._steps) as bar:
            count = keras.callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: bar.update()
            )
            history = self._fit(student, rate, self._batches, self._steps, [count])
        if not self.error(student) <= before:
            student.set_weights(weights)
        return history

    def _try(self, student: keras.Model, rate: float) -> None:
        least = _LEAST_STEPS if self._end is None else 1
        wanted = min(self._steps, max(least, math.ceil(_TRIAL_SHARE * self._steps)))
        batches = self._batches.some(wanted)
        steps = max(1, wanted // len(batches)) * len(batches)
        self._fit(student, rate, batches, steps)

    def _plan(self, student: keras.Model, trials: int) -> None:
        """Find out how many steps of a training, and of trials of it, there is time for."""
        if self._end is None:
            return
        clock = _Clock()
        with weights_put_back(student):
            some = self._batches.some(_TIMED_STEPS)
            self._fit(student, _RATES[0], some, _TIMED_STEPS, [clock])
        started = time.monotonic()
        self.error(student)
        judging = (time.monotonic() - started) * (trials + 2)
        left = _PLANNED * (self._end - time.monotonic()) - judging
        self._steps = math.floor(left / clock.step / (1 + trials * _TRIAL_SHARE))
        if self._steps < 1:
            raise ValueError(
                "Expected `minutes` for some steps of training. Received: too few: a step takes "
                f"{clock.step:.2g} s and judging {judging:.0f} s, with which {left:.0f} s are left"
            )

    def _fit(
        self,
        student: keras.Model,
        rate: float,
        batches: TrainingBatches,
        steps: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> keras.callbacks.History:
        with ExitStack() as stack:
            stack.enter_context(computing_in(student, self._dtype_policy))
            if self._replaced_only:
                layers = replaced_layers(student, self._original)
                stack.enter_context(training_only(layers, student))
            return self._compiled(student).fit(
                batches,
                epochs=math.ceil(steps / len(batches)),
                callbacks=[SameState(student), Rates(rate, steps, self._end), *callbacks],
                shuffle=False,
                verbose=0,
            )

    def _compiled(self, student: keras.Model) -> Student:
        """Return a student ready to be trained from its beginning, compiled once."""
        if self._student is None or self._student.inner is not student:
            self._student = Student(student, self._judged[0], self._counted)
            weights = self._counted.weights
            self._student.compile(keras.optimizers.Lamb(), self._losses, loss_weights=weights)
        for variable in self._student.optimizer.variables:
            variable.assign(ops.zeros(variable.shape, variable.dtype))
        return self._student


class _Clock(keras.callbacks.Callback):
    """Times steps.

    Attributes:
        step: Seconds of a step once it is compiled.
    """

    def __init__(self) -> None:
        super().__init__()
        self._times = [time.monotonic()]
        self.step = 0.0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._times.append(time.monotonic())

    def on_train_end(self, logs: Any = None) -> None:
        first = min(_COMPILED_STEPS, len(self._times) - 2)
        taken = self._times[-1] - self._times[first]
        self.step = taken / (len(self._times) - 1 - first)
