"""A search with Ray Tune, on one machine or several."""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

# Ray reports how it is used to its makers, unless it is told not to.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import keras
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from examples.fine_tuning.search.space import SearchSpace
from examples.fine_tuning.search.trial import TrialTraining, trained_parameters
from examples.fine_tuning.search.trial_results import TrialResult

_EXPERIMENT = "ray"
# The files of a checkpoint.
_WEIGHTS, _PROGRESS = "trial.weights.h5", "progress.json"


class Report(keras.callbacks.Callback):
    """Reports the score to Ray Tune after every epoch, with a checkpoint.

    Args:
        training: What all trials have in common.
        settings: Settings of the trial.
        seconds: How long it was trained before.
    """

    def __init__(self, training: TrialTraining, settings: Any, seconds: float) -> None:
        super().__init__()
        self.training, self.settings = training, settings
        self._started = time.perf_counter() - seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        progress = {
            "epochs": epoch + 1,
            self.training.score_name: self.training.score(self.settings, self.model),
            "parameters": trained_parameters(self.model),
            "seconds": time.perf_counter() - self._started,
        }
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_weights(Path(folder) / _WEIGHTS)
            (Path(folder) / _PROGRESS).write_text(json.dumps(progress))
            tune.report(progress, checkpoint=tune.Checkpoint.from_directory(folder))


def search_ray(
    space: SearchSpace,
    training: TrialTraining,
    folder: Path,
    *,
    trials: int,
    factor: int,
    address: str | None,
    cpus: int,
    gpus: float,
) -> list[TrialResult]:
    """Search, or go on with the search in the folder.

    Args:
        space: The space.
        training: What all trials have in common.
        folder: Folder of the search, which all machines must see.
        trials: How many combinations of values are tried.
        factor: After epochs 1, factor, factor ** 2 and so on, the best of this many trials goes on.
        address: Address of a cluster; this machine alone if `None`.
        cpus: Processor cores of a trial.
        gpus: GPUs of a trial.

    Returns:
        A result for each trial.

    Raises:
        KeyboardInterrupt: If the search was stopped.
        ValueError: If no trial can be trained.
    """
    local = {"include_dashboard": False} if address is None else {}
    ray.init(address=address or "local", log_to_driver=False, **local)
    try:
        grid = _tuner(space, training, folder, trials, factor, {"cpu": cpus, "gpu": gpus}).fit()
    finally:
        ray.shutdown()
    # Ray stops at Ctrl-C without an error.
    if any(result.error is None and not (result.metrics or {}).get("done") for result in grid):
        raise KeyboardInterrupt
    found = [
        TrialResult(
            result.config,
            result.metrics["epochs"],
            result.metrics[training.score_name],
            result.metrics["parameters"],
            result.metrics["seconds"],
        )
        for result in grid
        if result.error is None
    ]
    if grid.num_errors:
        last = str(grid.errors[0]).strip().splitlines()[-1]
        if not found:
            raise ValueError(f"Expected trials that can be trained. Received: {last}")
        print(f"{grid.num_errors} trials failed, the first with: {last}")
    return found


def _tuner(
    space: SearchSpace,
    training: TrialTraining,
    folder: Path,
    trials: int,
    factor: int,
    resources: dict[str, float],
) -> tune.Tuner:
    shared = tune.with_parameters(_train_trial, space=space, training=training)
    trainable = tune.with_resources(shared, resources)
    path = folder.resolve() / _EXPERIMENT
    if tune.Tuner.can_restore(str(path)):
        return tune.Tuner.restore(str(path), trainable, resume_errored=True)
    # Ray would draw some several times.
    points = space.sample(trials)
    return tune.Tuner(
        trainable,
        param_space={name: tune.choice(values) for name, values in space.choices.items()},
        tune_config=tune.TuneConfig(
            metric=training.score_name,
            mode="max",
            num_samples=len(points),
            # A process imports TensorFlow once, not for every trial.
            reuse_actors=True,
            search_alg=BasicVariantGenerator(points_to_evaluate=points),
            # Names of all values are longer than a file's may be.
            trial_dirname_creator=_trial_folder,
            scheduler=ASHAScheduler(
                time_attr="epochs", max_t=space.base.epochs, reduction_factor=factor
            ),
        ),
        run_config=tune.RunConfig(
            name=_EXPERIMENT,
            storage_path=str(folder.resolve()),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            verbose=1,
        ),
    )


def _trial_folder(trial: Any) -> str:
    return f"trial_{trial.trial_id}"


def _train_trial(config: dict[str, Any], space: SearchSpace, training: TrialTraining) -> None:
    # Nothing of an earlier trial of the process stays in memory.
    keras.backend.clear_session()
    settings = space.settings(config)
    model = training.model(settings)
    epochs, seconds = 0, 0.0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            model.load_weights(Path(folder) / _WEIGHTS)
            progress = json.loads((Path(folder) / _PROGRESS).read_text())
        epochs, seconds = progress["epochs"], progress["seconds"]
    report = Report(training, settings, seconds)
    training.fit(settings, model, epochs, settings.epochs, [report], verbose=0)
