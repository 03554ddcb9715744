"""A search with KerasTuner's Hyperband on one machine."""

import json
import math
import time
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow as tf

from examples.fine_tuning.search.space import SearchSpace
from examples.fine_tuning.search.trial import TrialModel, TrialTraining, trained_parameters
from examples.fine_tuning.search.trial_results import TrialResult
from examples.fine_tuning.settings import Settings

_PROJECT = "hyperband"
# Hyperband draws values at random and gives up when it has drawn known ones twenty times in a row.
_SPARE = 1.25
# Names of KerasTuner's, among the values of a trial.
_EPOCHS, _CONTINUED = "tuner/epochs", "tuner/trial_id"


class Trials(keras_tuner.HyperModel):
    """The trials as KerasTuner builds and trains them.

    Args:
        space: What they are chosen from.
        training: What all have in common.
    """

    def __init__(self, space: SearchSpace, training: TrialTraining) -> None:
        super().__init__()
        self.space, self.training = space, training

    def build(self, hp: Any) -> TrialModel:
        return self.training.model(self._settings(hp))

    def fit(self, hp: Any, model: TrialModel, **kwargs: Any) -> dict[str, float]:
        settings = self._settings(hp)
        epochs = kwargs["initial_epoch"], kwargs["epochs"]
        started = time.perf_counter()
        # There is no score in the logs, so KerasTuner's checkpoint is that of the last epoch.
        self.training.fit(settings, model, *epochs, kwargs["callbacks"], kwargs["verbose"])
        return {
            self.training.score_name: self.training.score(settings, model),
            "parameters": trained_parameters(model),
            "seconds": time.perf_counter() - started,
        }

    def _settings(self, hp: Any) -> Settings:
        choices = self.space.choices.items()
        return self.space.settings({name: hp.Choice(name, values) for name, values in choices})


def check_size(space: SearchSpace, factor: int, iterations: int) -> None:
    """Check that there are as many combinations of values as Hyperband tries.

    Args:
        space: The space.
        factor: By how much fewer trials go on in each round.
        iterations: How often Hyperband is run.

    Raises:
        ValueError: If there are fewer.
    """
    # The brackets and the sizes of their first rounds (Li et al. 2018, arXiv:1603.06560, algorithm
    # 1), as KerasTuner rounds them.
    epochs = space.base.epochs
    brackets, rest = 0, float(epochs)
    while rest >= 1:
        brackets, rest = brackets + 1, rest / factor
    last = math.ceil(1 + math.log(epochs, factor))
    tried = iterations * sum(math.ceil(last / (n + 1) * factor**n) for n in range(brackets))
    if space.size < _SPARE * tried:
        raise ValueError(
            f"Expected at least {math.ceil(_SPARE * tried)} combinations of values for the {tried} "
            f"that Hyperband tries with --epochs {epochs} --factor {factor} --iterations "
            f"{iterations}. Received: {space.size}. Give more values, or fewer epochs"
        )
    print(f"Hyperband tries {tried} of {space.size} combinations of values")


def search_hyperband(
    space: SearchSpace, training: TrialTraining, folder: Path, factor: int, iterations: int
) -> list[TrialResult]:
    """Search, or go on with the search in the folder.

    Args:
        space: The space.
        training: What all trials have in common.
        folder: Folder of the search.
        factor: By how much fewer trials go on in each round.
        iterations: How often Hyperband is run.

    Returns:
        A result for each combination of values, with the most epochs that it was trained for.

    Raises:
        OSError: If a file cannot be written, as on a full disk.
        ValueError: If three trials one after the other fail, or KerasTuner's files are damaged.
    """
    try:
        tuner = keras_tuner.Hyperband(
            Trials(space, training),
            keras_tuner.Objective(training.score_name, "max"),
            max_epochs=space.base.epochs,
            factor=factor,
            hyperband_iterations=iterations,
            # To KerasTuner 0 is no seed.
            seed=space.base.seed + 1,
            directory=str(folder),
            project_name=_PROJECT,
            overwrite=False,
        )
    except json.JSONDecodeError as error:
        # KerasTuner does not replace its files in one step.
        raise ValueError(
            f"Expected whole files of KerasTuner in {folder / _PROJECT}. Received: a damaged one. "
            "Remove the folder to begin again"
        ) from error
    try:
        tuner.search(verbose=2)
    except tf.errors.OpError as error:
        # KerasTuner writes its files with TensorFlow.
        raise OSError(f"The search cannot go on: {error.message}") from error
    except RuntimeError as error:
        raise ValueError(f"Expected trials that can be trained. Received: {error}") from error
    return _results(space, tuner.oracle.trials)


def _results(space: SearchSpace, trials: dict[str, Any]) -> list[TrialResult]:
    """Return the results, with those of earlier rounds of a combination of values added up."""
    finished = {name: each for name, each in trials.items() if each.score is not None}
    seconds: dict[str, float] = {}
    found: dict[str, TrialResult] = {}
    for name in sorted(finished, key=lambda name: finished[name].hyperparameters.values[_EPOCHS]):
        trial = finished[name]
        values = trial.hyperparameters.values
        earlier = values.get(_CONTINUED)
        own, parameters = (trial.metrics.get_best_value(each) for each in ("seconds", "parameters"))
        seconds[name] = own + seconds.get(earlier, 0.0)
        found.pop(earlier, None)
        found[name] = TrialResult(
            {each: values[each] for each in space.choices},
            values[_EPOCHS],
            trial.score,
            int(parameters),
            seconds[name],
        )
    return list(found.values())
