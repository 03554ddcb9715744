"""Fitting a model into what its file takes, by making and measuring files."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.choosing import (
    Solution,
    choose,
    cost_of,
    smallest_cost,
    solution_for,
    solve_cost,
)
from dart_keras.compression.fitting import Fitter
from dart_keras.compression.progress import progress
from dart_keras.deployment import convert
from dart_keras.deployment.recipe import RECIPES
from dart_keras.deployment.target import find_target
from dart_keras.selection import Budget

_KIND = "file_bytes"

# Close enough to the limit, as a share of it.
_CLOSE = 0.02
_MOST_FILES = 8


def solve_measured(fitter: Fitter, budget: Budget) -> Solution:
    """The largest estimate of a file, given out as it does most, with which it keeps to a budget.

    Files are made and measured for estimates between the largest and the smallest that are known to
    fit and not to fit, which a line through their sizes guesses at. The first guess decides which
    power of the losses is the best one for the model, as in `solve_cost`.

    Raises:
        ValueError: If the smallest forms of all parts need more, or the quantization needs data.
        ConversionError: If the model cannot be converted.
    """
    name = budget.kind
    find_target(budget.target, budget.quantization)
    if RECIPES[budget.quantization].calibrated and not fitter.batches:
        raise ValueError(
            f"Expected `calibration_data` for a file with quantization={budget.quantization!r}. "
            "Received: calibration_data=None"
        )

    def measure(model: keras.Model) -> dict[str, int]:
        return measured_file(model, fitter.batches, budget.quantization, budget.target)

    whole = [part[-1] for part in fitter.forms]
    model = fitter.assemble(fitter.fit(whole))
    sizes = measure(model)
    if sizes[name] <= budget.limit:
        reason = "the file keeps to the budget with it"
        return Solution(model, fitter.fit(whole), sizes, reason)
    too_many, too_large = cost_of(fitter, _KIND, whole), sizes[name]

    fewest = smallest_cost(fitter, _KIND)
    best = _measured(solution_for(fitter, _KIND, fewest), measure)
    if best.measured[name] > budget.limit:
        raise ValueError(
            f"Expected a budget of at least {min(too_large, best.measured[name])} bytes, which the "
            "smaller of the files takes with all layers as they are and with the smallest forms of "
            f"all. Received: {name}={budget.limit}"
        )
    exponent = None
    for _ in progress(range(_MOST_FILES), "measuring files"):
        size = best.measured[name]
        if size >= (1 - _CLOSE) * budget.limit or too_many - fewest <= 1:
            break
        share = (budget.limit * (1 - _CLOSE / 2) - size) / max(1, too_large - size)
        guess = fewest + math.floor((too_many - fewest) * min(max(share, 0.05), 0.95))
        if exponent is None:
            solution = solve_cost(fitter, _KIND, guess)
            exponent = solution.exponent
        elif choose(fitter, _KIND, guess, exponent) == choose(fitter, _KIND, fewest, exponent):
            fewest = guess
            continue
        else:
            solution = solution_for(fitter, _KIND, guess, exponent)
        solution = _measured(solution, measure)
        if solution.measured[name] <= budget.limit:
            fewest, best = guess, solution
        else:
            too_many, too_large = guess, solution.measured[name]
    return best


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
        whole = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        data = whole if isinstance(whole, dict) else tuple(keras.tree.flatten(whole))
    artifact = convert(model, target, quantization=quantization, representative_data=data)
    sizes = {"flash_bytes": artifact.size}
    return sizes if artifact.arena_size is None else {**sizes, "arena_bytes": artifact.arena_size}


def _measured(solution: Solution, measure: Callable[[keras.Model], dict[str, int]]) -> Solution:
    return solution._replace(measured=measure(solution.model))
