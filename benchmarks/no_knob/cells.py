"""The runs of the benchmark, and the cells of the results that they make."""

import gc
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

from benchmarks.no_knob.problem import Data
from benchmarks.no_knob.problems import PROBLEMS
from benchmarks.no_knob.training import Run
from benchmarks.no_knob.ways import WAYS

# A run shorter than this has nothing before or after a cut.
_FEWEST_EPOCHS = 3


@dataclass(frozen=True)
class Unit:
    """Runs of one problem, way and seed that are trained together.

    Attributes:
        problem: Name of the problem.
        way: Name of the way.
        seed: The seed.
        epochs: Number of epochs.
        settings: The settings of each run.
        folder: Folder of data sets, if there is one.
    """

    problem: str
    way: str
    seed: int
    epochs: int
    settings: list[dict[str, Any]]
    folder: Path | None = None

    def train(self) -> list[dict[str, Any]]:
        """Return a cell for each run."""
        problem = PROBLEMS[self.problem]
        data = _load(self.problem, self.folder, self.seed)
        run = Run(problem, data, self.seed, self.epochs, problem.target)
        cells = [
            {**self._names(), **cell, "data": data.name}
            for cell in WAYS[self.way].train(run, self.settings)
        ]
        keras.utils.clear_session()
        gc.collect()
        return cells

    def left(self, done: Iterable[dict[str, Any]]) -> "Unit | None":
        """Return the unit without the runs whose cells are there, or `None` if all are."""
        keys = {_key(cell) for cell in done}
        names = self._names()
        left = [each for each in self.settings if _key({**names, "settings": each}) not in keys]
        return Unit(**{**vars(self), "settings": left}) if left else None

    def _names(self) -> dict[str, Any]:
        names = ("problem", "way", "seed", "epochs")
        return {name: getattr(self, name) for name in names}


def units_of(
    problems: Iterable[str],
    ways: Iterable[str],
    seeds: Iterable[int],
    epochs_scale: float,
    folder: Path | None,
) -> list[Unit]:
    """Return all units, seed by seed, so that an interrupted benchmark has all problems."""
    return [
        Unit(name, way, seed, _epochs(name, epochs_scale), group, folder)
        for seed in seeds
        for name in problems
        for way in ways
        for group in WAYS[way].settings(PROBLEMS[name], PROBLEMS[name].target)
    ]


def _epochs(problem: str, scale: float) -> int:
    return max(_FEWEST_EPOCHS, round(scale * PROBLEMS[problem].epochs))


@lru_cache(maxsize=2)
def _load(problem: str, folder: Path | None, seed: int) -> Data:
    return PROBLEMS[problem].load(folder, seed)


def _key(cell: dict[str, Any]) -> str:
    names = ("problem", "way", "seed", "epochs", "settings")
    return json.dumps([cell[name] for name in names], sort_keys=True)
