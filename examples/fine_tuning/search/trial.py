"""Training and judging of one trial of a search, which goes on from epoch to epoch."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import safetensors.numpy
from keras import ops

from dart_keras.adapters.adapted_layer import adapted_layers_in
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.sentence_task import SentenceTask
from examples.fine_tuning.settings import Settings
from examples.fine_tuning.tasks import SENTENCE_TASKS
from examples.fine_tuning.training import cosine_schedule, grouped_batches, model_to_train, predict
from examples.language_model.batches import Position

# Share of the training rows that judges the trials, and the fewest rows that can.
_HELD_OUT, _FEWEST_HELD_OUT = 0.1, 10


class TrialModel(keras.Model):
    """A model whose files of weights hold only what training changes.

    The pretrained weights, which all trials have in common, are many times as large. The state of
    the optimizer is part of the files, so that a trial goes on as if it had not stopped.
    """

    def save_weights(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Save what training changes.

        Args:
            filepath: The file. It is always whole: the old or the new one.
            overwrite: Must be True.
            **kwargs: Not used.
        """
        values = {
            str(place): np.asarray(ops.convert_to_numpy(variable))
            for place, variable in enumerate(self._changing())
        }
        partial = Path(f"{filepath}.partial")
        partial.write_bytes(safetensors.numpy.save(values))
        os.replace(partial, filepath)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Load a file of `save_weights` into a model of the same settings.

        Args:
            filepath: The file.
            skip_mismatch: Must be False.
            **kwargs: Not used.
        """
        values = safetensors.numpy.load_file(filepath)
        for place, variable in enumerate(self._changing()):
            variable.assign(values[str(place)])

    def _changing(self) -> list[keras.Variable]:
        frozen = {id(variable) for variable in self.non_trainable_weights}
        for layer in adapted_layers_in(self):
            # Some adapters have a state that is no weight to train, such as masks.
            for adapter in layer.adapters.values():
                frozen -= {id(variable) for variable in adapter.variables}
        # The state of dropout is among the variables, and no weight.
        variables = [variable for variable in self.variables if id(variable) not in frozen]
        return [*variables, *self.optimizer.variables]


@dataclass(frozen=True)
class TrialTraining:
    """What all trials of a search have in common.

    Attributes:
        base: The settings that they share.
        training: The rows that trials are trained on.
        held_out: The rows that judge them: a tenth of the training rows.
    """

    base: Settings
    training: Rows
    held_out: Rows

    @classmethod
    def split(cls, base: Settings, rows: Rows) -> Self:
        """Hold out some of the training rows.

        Args:
            base: The settings that all trials share.
            rows: All training rows.

        Raises:
            ValueError: If there are too few.
        """
        order = np.random.default_rng(base.seed).permutation(len(rows.labels))[: base.limit]
        count = round(_HELD_OUT * len(order))
        fewest = max(round(_FEWEST_HELD_OUT / _HELD_OUT), base.batch + count)
        if len(order) < fewest:
            raise ValueError(
                f"Expected at least {fewest} training rows, of which a tenth judges the trials, "
                f"for batches of {base.batch}. Received: {len(order)}"
            )
        return cls(base, rows.chosen(order[count:]), rows.chosen(order[:count]))

    @property
    def task(self) -> SentenceTask:
        return SENTENCE_TASKS[self.base.task]

    @property
    def score_name(self) -> str:
        """The metric that judges the trials, of which more is better."""
        return next(iter(self.task.metrics))

    @cached_property
    def tokens(self) -> dict[str, np.ndarray]:
        """The tokens of the rows that trials are trained on."""
        return self.task.encode(self.base.preset, self.training, self.base.length)

    def model(self, settings: Settings) -> TrialModel:
        """Return the compiled model of a trial at its start.

        Args:
            settings: Settings of the trial.
        """
        # The same weights at the start whatever was built before.
        keras.utils.set_random_seed(settings.seed)
        built = model_to_train(settings)
        model = TrialModel(built.input, built.output)
        steps = len(self.training.labels) // settings.batch
        model.compile(
            # Over the most epochs of a trial, whenever it may be stopped.
            keras.optimizers.Adam(cosine_schedule(settings, steps)),
            self.task.loss(),
            jit_compile=keras.backend.backend() != "tensorflow",
        )
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(
        self,
        settings: Settings,
        model: TrialModel,
        first: int,
        until: int,
        callbacks: list[Any],
        verbose: Any,
    ) -> None:
        """Train the model of a trial for some epochs.

        Args:
            settings: Settings of the trial.
            model: Its model.
            first: How many epochs it has been trained for.
            until: For how many it has then been.
            callbacks: Callbacks for `fit`.
            verbose: As for `fit`.
        """
        position = Position(first)
        allocation = settings.allocation()

        def end(epoch: int, logs: Any) -> None:
            # Not fewer epochs of `fit`, by which some methods plan.
            model.stop_training = epoch + 1 >= until

        model.fit(
            grouped_batches(settings, self.tokens, self.training.labels, position),
            epochs=settings.epochs,
            initial_epoch=first,
            callbacks=[
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: position.move(epoch, 0), on_epoch_end=end
                ),
                *([allocation] if allocation else []),
                *callbacks,
            ],
            shuffle=False,
            verbose=verbose,
        )

    def score(self, settings: Settings, model: keras.Model) -> float:
        """Return the score of a model on the rows that are held out.

        Args:
            settings: Settings of the trial.
            model: Its model.
        """
        outputs = predict(settings, model, self.held_out)
        score = self.task.scores(self.held_out, outputs)[self.score_name]
        # Of a training that failed. The metrics are never lower.
        return -1.0 if np.isnan(score) else score


def trained_parameters(model: keras.Model) -> int:
    """Return how many parameters of a model are trained."""
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
