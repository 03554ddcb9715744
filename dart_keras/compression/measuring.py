"""Fitting a model into what its file takes, by making and measuring files."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.compression.calibration import MOST_ROWS
from dart_keras.compression.choosing import (
    Solution,
    choose,
    cost_of,
    smallest_cost,
    solution_of,
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
    fit and not to fit, which a line through their sizes guesses at; where that leaves much of the
    budget unused, beyond those that do not fit, too. The first guess decides which power of the
    losses is the best one for the model, as in `solve_cost`.

    Raises:
        ValueError: If the smallest forms of all parts need more, or the quantization needs data.
        ConversionError: If the model cannot be converted.
    """
    name = budget.kind
    find_target(budget.target, budget.quantization)
    if RECIPES[budget.quantization].calibrated and fitter.observer is None:
        raise ValueError(
            f"Expected `calibration_data` for a file with quantization={budget.quantization!r}. "
            "Received: calibration_data=None"
        )

    whole = [part[-1] for part in fitter.forms]
    dense = with_file(fitter, budget, solution_of(fitter, whole))
    if dense.measured[name] <= budget.limit:
        return dense._replace(reason="the file keeps to the budget with it")
    # What does not fit, the smallest estimate last.
    refused = [(cost_of(fitter, _KIND, whole), dense.measured[name])]

    fewest = smallest_cost(fitter, _KIND)
    forms = choose(fitter, _KIND, fewest)
    best = with_file(fitter, budget, solution_of(fitter, forms))
    if best.measured[name] > budget.limit:
        least = min(dense.measured[name], best.measured[name])
        raise ValueError(
            f"Expected a budget of at least {least} bytes, which the smaller of the files takes "
            "with all layers as they are and with the smallest forms of all. "
            f"Received: {name}={budget.limit}"
        )
    made, exponent = [forms], None
    solution: Solution | None
    for _ in progress(range(_MOST_FILES), "measuring files"):
        while forms in made:
            size = best.measured[name]
            if size >= (1 - _CLOSE) * budget.limit:
                return best
            too_many, too_large = refused[-1]
            if too_many - fewest <= 1:
                # A file whose weights need more scales is larger than those of models a little
                # larger: beyond it there may be one that fits.
                fewest, _ = refused.pop()
                if not refused:
                    return best
                continue
            share = (budget.limit * (1 - _CLOSE / 2) - size) / max(1, too_large - size)
            guess = fewest + math.floor((too_many - fewest) * min(max(share, 0.05), 0.95))
            guess = max(guess, fewest + 1)
            if exponent is None:
                solution = solve_cost(fitter, _KIND, guess)
                exponent, forms = solution.exponent, [new.form for new in solution.fitted]
            else:
                solution, forms = None, choose(fitter, _KIND, guess, exponent)
            fewest = guess if forms in made else fewest
        made.append(forms)
        solution = with_file(fitter, budget, solution or solution_of(fitter, forms, exponent or 1))
        if solution.measured[name] <= budget.limit:
            fewest, best = guess, solution
        else:
            refused.append((cost_of(fitter, _KIND, forms), solution.measured[name]))
    return best


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
        whole = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
        data = whole if isinstance(whole, dict) else tuple(keras.tree.flatten(whole))
    artifact = convert(model, target, quantization=quantization, representative_data=data)
    sizes = {"flash_bytes": artifact.size}
    return sizes if artifact.arena_size is None else {**sizes, "arena_bytes": artifact.arena_size}
