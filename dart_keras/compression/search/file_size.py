"""Fitting a model into what its file takes, by making and measuring files."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration.batches import MOST_ROWS
from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.solution import (
    Solution,
    choose,
    cost_of,
    smallest_cost,
    solution_of,
    solve_cost,
)
from dart_keras.compression.search.student import Fitter
from dart_keras.deployment import convert
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.devices import find_device
from dart_keras.selection import Budget
from dart_keras.utils.progress import progress

_KIND = "file_bytes"

# Close enough to the limit, as a share of it.
_CLOSE = 0.02
_MOST_FILES = 8


def solve_measured(fitter: Fitter, budget: Budget) -> Solution:
    """The largest estimate of a file, given out as it does most, with which it keeps to a budget.

    Raises:
        ValueError: If the smallest factorizations of all layers need more, or the quantization
            needs data.
        ConversionError: If the model cannot be converted.
    """
    name = budget.kind
    find_device(budget.target, budget.quantization)
    if SCHEMES[budget.quantization].calibrated and fitter.observer is None:
        raise ValueError(
            f"Expected `calibration_data` for a file with quantization={budget.quantization!r}. "
            "Received: calibration_data=None"
        )
    whole = [options[-1] for options in fitter.factorizations]
    dense = with_file(fitter, budget, solution_of(fitter, whole))
    if dense.measured[name] <= budget.limit:
        return dense._replace(reason="the file keeps to the budget with it")
    factorizations = choose(fitter, _KIND, smallest_cost(fitter, _KIND))
    smallest = with_file(fitter, budget, solution_of(fitter, factorizations))
    if smallest.measured[name] > budget.limit:
        least = min(dense.measured[name], smallest.measured[name])
        raise ValueError(
            f"Expected a budget of at least {least} bytes, which the smaller of the files takes "
            "with all layers as they are and with the smallest factorizations of all. "
            f"Received: {name}={budget.limit}"
        )
    return _Search(fitter, budget, dense, smallest).solution()


class _Search:
    """Files made and measured between one that fits and one that does not.

    The next estimate is where a line through the sizes of both meets the limit. The first one
    decides which power of the losses is the best for the model, as in `solve_cost`.

    Args:
        fitter: Of the model.
        budget: The limit.
        dense: A solution that does not fit.
        smallest: One that does.
    """

    def __init__(self, fitter: Fitter, budget: Budget, dense: Solution, smallest: Solution) -> None:
        self._fitter, self._budget = fitter, budget
        self._best = smallest
        self._made = [_factorizations(smallest)]
        self._exponent: int | None = None
        # The estimate known to fit, and those known not to with their sizes, the smallest last.
        self._fewest = cost_of(fitter, _KIND, _factorizations(smallest))
        self._refused = [(cost_of(fitter, _KIND, _factorizations(dense)), self._size(dense))]

    def solution(self) -> Solution:
        """The best of the files that fit."""
        for _ in progress(range(_MOST_FILES), "measuring files"):
            guess, found = self._next()
            if found is None:
                break
            found = with_file(self._fitter, self._budget, found)
            if self._size(found) <= self._budget.limit:
                self._fewest, self._best = guess, found
            else:
                cost = cost_of(self._fitter, _KIND, _factorizations(found))
                self._refused.append((cost, self._size(found)))
        return self._best

    def _next(self) -> tuple[int, Solution | None]:
        """The next estimate that gives other factorizations than those made, and what it gives."""
        while (guess := self._guess()) is not None:
            found = None
            if self._exponent is None:
                found = solve_cost(self._fitter, _KIND, guess)
                self._exponent, factorizations = found.exponent, _factorizations(found)
            else:
                factorizations = choose(self._fitter, _KIND, guess, self._exponent)
            if factorizations not in self._made:
                self._made.append(factorizations)
                return guess, found or solution_of(self._fitter, factorizations, self._exponent)
            self._fewest = guess
        return self._fewest, None

    def _guess(self) -> int | None:
        """An estimate to try, `None` where nothing is left to gain."""
        limit, size = self._budget.limit, self._size(self._best)
        if size >= (1 - _CLOSE) * limit:
            return None
        while self._refused[-1][0] - self._fewest <= 1:
            # A file whose weights need more scales is larger than those of models a little larger:
            # beyond it there may be one that fits.
            self._fewest, _ = self._refused.pop()
            if not self._refused:
                return None
        too_many, too_large = self._refused[-1]
        share = (limit * (1 - _CLOSE / 2) - size) / max(1, too_large - size)
        step = math.floor((too_many - self._fewest) * min(max(share, 0.05), 0.95))
        return self._fewest + max(1, step)

    def _size(self, solution: Solution) -> int:
        return solution.measured[self._budget.kind]


def _factorizations(solution: Solution) -> list[Factorization]:
    return [fitted.factorization for fitted in solution.fitted]


def with_file(fitter: Fitter, budget: Budget, solution: Solution) -> Solution:
    """A solution with what its file takes."""
    batches = fitter.observer.batches if fitter.observer else []
    rows = sum(len(keras.tree.flatten(batch)[0]) for batch in batches)
    # Ranges need no more of them, and conversion goes through them one by one.
    some = batches[:: max(1, rows // MOST_ROWS)]
    sizes = measured_file(solution.model, some, budget.quantization, budget.target)
    return solution._replace(measured=sizes)


def measured_file(
    model: keras.Model, batches: Sequence[Any], quantization: str, target: str
) -> dict[str, int]:
    """The sizes of the file that a model makes.

    Args:
        model: A built model.
        batches: Calibration batches.
        quantization: As for `dart_keras.deployment.convert`.
        target: As for `dart_keras.deployment.convert`.

    Returns:
        Bytes by "flash_bytes" and, for a microcontroller, "arena_bytes".
    """
    data = None
    if batches:
        whole = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *batches)
        data = whole if isinstance(whole, dict) else tuple(keras.tree.flatten(whole))
    artifact = convert(model, target, quantization=quantization, calibration_data=data)
    sizes = {"flash_bytes": artifact.size}
    return sizes if artifact.arena_size is None else {**sizes, "arena_bytes": artifact.arena_size}
