"""Knobs turned by someone who knows the test set: all strengths and thresholds."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

import dart_keras as dk
from benchmarks.no_knob.problem import Layers
from benchmarks.no_knob.training import Run

Regularizer = type[dk.regularizers.RankRegularizer]
# Shares of the problem's strength.
STRENGTHS = tuple(2.0**k for k in range(-4, 4))
THRESHOLDS = (0.05, 0.1, 0.2)


def train_thresholds(
    run: Run,
    strength: float,
    thresholds: Sequence[float],
    regularizer: Regularizer | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield a cell for each threshold, of runs that are cut after a third of their epochs.

    Until then they are one run, as the threshold makes no difference before the cut.

    Args:
        run: What to train.
        strength: Strength of the rank regularizer.
        thresholds: Thresholds.
        regularizer: Rank regularizer; `None` for the problem's.
    """
    cut = max(1, run.epochs // 3)
    start = _Start(run, strength, regularizer)
    before = run.fit(start.model, last=cut)
    state = start.read()
    for threshold in thresholds:
        continued = _Start(run, strength, regularizer)
        continued.write(state)
        selection = dk.selection.Threshold(threshold)
        discretization = dk.callbacks.RankDiscretization(selection, epoch=cut)
        settings = {"strength": strength, "threshold": threshold}
        try:
            after = run.fit(continued.model, [discretization], first=cut)
        except ValueError as error:
            # The strength has made a matrix zero. That is a result, too.
            yield {"settings": settings, "error": str(error)}
            continue
        yield {
            "settings": settings,
            **run.measure(continued.model),
            "seconds": before + after,
            "cuts": [each["epoch"] for each in discretization.cuts],
        }


def train_gates(run: Run, strength: float) -> dict[str, Any]:
    """Return the cell of a run whose ranks Gumbel-Softmax gates learn, cut after half its epochs.

    Args:
        run: What to train.
        strength: Strength of the cost of ranks.
    """
    selection = dk.selection.GumbelSoftmax(strength, seed=run.seed)
    discretization = dk.callbacks.RankDiscretization(selection, epoch=max(1, run.epochs // 2))
    model = run.compiled(Layers(ranks=run.problem.initial_rank))
    seconds = run.fit(model, [discretization])
    return {
        "settings": {"strength": strength},
        **run.measure(model),
        "seconds": seconds,
        "cuts": [each["epoch"] for each in discretization.cuts],
    }


class _Start:
    """A compiled model, whose weights and optimizer state can be read and written."""

    def __init__(self, run: Run, strength: float, regularizer: Regularizer | None = None) -> None:
        penalty = (regularizer or run.problem.regularizer)(strength)
        self.model = run.compiled(Layers(False, run.problem.initial_rank, penalty))
        self.model.optimizer.build(self.model.trainable_variables)

    def read(self) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(variable) for variable in self._variables()]

    def write(self, state: list[np.ndarray]) -> None:
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.model.optimizer.variables]
