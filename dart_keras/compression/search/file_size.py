"""Fitting a model into what its file takes, by making and measuring files."""

from typing import Any

import keras
import numpy as np

from dart_keras.budgets import ArenaBytes, FlashBytes
from dart_keras.compression.calibration.batches import MOST_ROWS
from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.model_costs import (
    choose,
    cost_of,
    file_byte_costs,
    parameter_costs,
    unchangeable_part,
)
from dart_keras.compression.search.solution import Solution, solution_of, solve_cost
from dart_keras.compression.search.student import StudentBuilder
from dart_keras.deployment.file_sizes import file_sizes
from dart_keras.utils.size_search import Measured, largest_within


def solve_file(builder: StudentBuilder, budget: FlashBytes | ArenaBytes) -> Solution:
    """Return the solution with the largest file, by estimate, that keeps to a budget.

    The first file decides which power of the losses is the best for the model, as in `solve_cost`.

    Raises:
        ValueError: If the smallest factorizations of all layers need more, or the quantization
            needs data.
        ConversionError: If the model cannot be converted.
    """
    return _FileSearch(builder, budget).solution()


class _FileSearch:
    """Solutions for different estimates of the file, of which the best is kept."""

    def __init__(self, builder: StudentBuilder, budget: FlashBytes | ArenaBytes) -> None:
        self._builder = builder
        self._budget = budget
        self._costs = file_byte_costs(builder)
        self._data = _rows_for_files(builder)
        self._exponent: int | None = None
        self._first: Solution | None = None
        self._best: Solution | None = None

    def solution(self) -> Solution:
        """Return the best solution whose file keeps to the budget."""
        whole = self._measure(solution_of(self._builder, _whole(self._builder)))
        if whole.size <= self._budget.n:
            assert self._best is not None
            return self._best._replace(reason="the file keeps to the budget with it")
        cheapest = choose(self._builder, self._costs, self._costs.smallest)
        smallest = self._measure(solution_of(self._builder, cheapest))
        if self._best is None:
            least = min(whole.size, smallest.size)
            raise ValueError(
                f"Expected a budget of at least {least:_} bytes, which the smaller of the files "
                "takes with all layers as they are and with the smallest factorizations of all"
                f"{unchangeable_part(parameter_costs(self._builder), ' parameters')}. "
                f"Received: {self._budget}"
            )
        largest_within(self._budget.n, smallest, whole, self._find, self._measure_found)
        return self._best

    def _find(self, guess: int) -> list[Factorization]:
        if self._exponent is None:
            self._first = solve_cost(self._builder, self._costs, guess)
            self._exponent = self._first.exponent
            return _factorizations(self._first)
        return choose(self._builder, self._costs, guess, self._exponent)

    def _measure_found(self, factorizations: list[Factorization]) -> tuple[int, int]:
        solution, self._first = self._first, None
        if solution is None or _factorizations(solution) != factorizations:
            assert self._exponent is not None
            solution = solution_of(self._builder, factorizations, self._exponent)
        _, cost, size = self._measure(solution)
        return cost, size

    def _measure(self, solution: Solution) -> Measured[list[Factorization]]:
        sizes = file_sizes(solution.model, self._budget, self._data)
        if sizes.limited_by(self._budget) <= self._budget.n:
            self._best = solution._replace(measured=sizes)
        factorizations = _factorizations(solution)
        cost = cost_of(self._builder, self._costs, factorizations)
        return Measured(factorizations, cost, sizes.limited_by(self._budget))


def remeasured(
    builder: StudentBuilder, budget: FlashBytes | ArenaBytes, solution: Solution
) -> Solution | None:
    """Return a solution that has got other weights with the new sizes of its file.

    Returns:
        `None` if the file no longer keeps to the budget: with other weights other scales are
        chosen, which can take more bytes.
    """
    sizes = file_sizes(solution.model, budget, _rows_for_files(builder))
    return solution._replace(measured=sizes) if sizes.limited_by(budget) <= budget.n else None


def _rows_for_files(builder: StudentBuilder) -> Any:
    """Return some calibration rows in the structure that the model takes, or `None` without any."""
    if builder.statistics is None:
        return None
    batches = builder.statistics.batches
    rows = sum(len(keras.tree.flatten(batch)[0]) for batch in batches)
    # Ranges need no more of them, and conversion goes through them one by one.
    some = batches[:: max(1, rows // MOST_ROWS)]
    whole = keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *some)
    return whole if isinstance(whole, dict) else tuple(keras.tree.flatten(whole))


def _whole(builder: StudentBuilder) -> list[Factorization]:
    return [options[-1] for options in builder.factorizations]


def _factorizations(solution: Solution) -> list[Factorization]:
    return [fitted.factorization for fitted in solution.fitted]
