"""The files of a finished run: results, and what was trained."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import safetensors.numpy
from keras import ops

from dart_keras import adapters
from dart_keras.utils.atomic_write import write_files
from dart_keras.utils.table import Table
from examples.fine_tuning.rows import Rows
from examples.fine_tuning.settings import Settings
from examples.fine_tuning.tasks import TASKS, scores
from examples.fine_tuning.training import Outcome, model_to_train, predict

RESULTS = "results.json"
ADAPTER = "task.adapter"
# What was trained without adapters.
_WEIGHTS = "trained.safetensors"


@dataclass(frozen=True)
class FinishedRun:
    """A run that `train.py` has finished.

    Attributes:
        folder: Its folder.
        settings: Its settings.
        results: The content of `results.json`.
    """

    folder: Path
    settings: Settings
    results: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a run.

        Raises:
            FileNotFoundError: If the folder has no finished run.
        """
        path = folder / RESULTS
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected the folder of a finished run of `train.py`. Received: {folder}, without "
                f"{RESULTS}"
            )
        results = json.loads(path.read_text())
        return cls(folder, Settings.from_json(results["settings"]), results)

    def model(self) -> keras.Model:
        """Return the trained model: the pretrained one with what the run has trained.

        Raises:
            ValueError: If the files do not fit the pretrained model.
        """
        if self.settings.has_adapters:
            base = TASKS[self.settings.task].model(self.settings.preset)
            return adapters.load(base, self.folder / ADAPTER)
        model = model_to_train(self.settings)
        trained = safetensors.numpy.load_file(self.folder / _WEIGHTS)
        paths = [variable.path for variable in model.trainable_variables]
        if sorted(trained) != sorted(paths):
            raise ValueError(
                f"Expected {_WEIGHTS} with the weights {paths}. Received: {sorted(trained)}"
            )
        for variable in model.trainable_variables:
            variable.assign(trained[variable.path])
        return model


def write_run(
    settings: Settings, outcome: Outcome, data_dir: str, dev: Rows, folder: Path
) -> FinishedRun:
    """Measure a trained model, and write its files.

    Args:
        settings: Settings of the run.
        outcome: The training.
        data_dir: Folder of the data, for the other commands.
        dev: The rows to measure it on.
        folder: Folder of the run.
    """
    model = outcome.model
    if settings.has_adapters:
        adapters.save(model, folder / ADAPTER)
    else:
        trained = {each.path: ops.convert_to_numpy(each) for each in model.trainable_variables}
        write_files(folder, {_WEIGHTS: safetensors.numpy.save(trained)})
    file = ADAPTER if settings.has_adapters else _WEIGHTS
    task = TASKS[settings.task]
    # With a new head, the pretrained model can do nothing yet.
    pretrained = None if task.head else task.model(settings.preset, settings.precision)
    results = {
        "method": settings.method,
        "trained_parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "file": file,
        "file_bytes": (folder / file).stat().st_size,
        "scores": scores(settings.task, dev, predict(settings, model, dev)),
        "scores_before": (
            scores(settings.task, dev, predict(settings, pretrained, dev)) if pretrained else {}
        ),
        "seconds_per_step": float(np.median([e["seconds_per_step"] for e in outcome.history])),
        "seed": settings.seed,
        "settings": settings.to_json(),
        "data_dir": str(Path(data_dir).resolve()),
        "longest": outcome.longest,
        "cuts": outcome.cuts,
        "history": outcome.history,
    }
    text = json.dumps(results, indent=1) + "\n"
    write_files(folder, {RESULTS: text.encode()})
    return FinishedRun(folder, settings, results)


def results_table(run: FinishedRun) -> Table:
    """Return the results of a run as a table of one row."""
    results = run.results
    # Runs of earlier versions have none of the pretrained model.
    all_scores = {
        **{f"{name} before": score for name, score in results.get("scores_before", {}).items()},
        **results["scores"],
    }
    header = ("method", "trained", "bytes", *all_scores, "seconds a step")
    row = (
        results["method"],
        f"{results['trained_parameters']:,}",
        f"{results['file_bytes']:,}",
        *(f"{score:.4f}" for score in all_scores.values()),
        f"{results['seconds_per_step']:.2f}",
    )
    return Table(header, "l" + "r" * (len(header) - 1), [row])
