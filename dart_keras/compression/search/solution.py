"""Which factorization each layer takes under a budget."""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.model_costs import Costs, choose
from dart_keras.compression.search.student import Fitted, StudentBuilder
from dart_keras.deployment.file_sizes import FileSizes

# Exponents of the losses that are tried, for as long as a larger one gains.
_EXPONENTS = (1, 2, 4, 8)


class Solution(NamedTuple):
    """A small model.

    Attributes:
        model: The model.
        fitted: For each layer what has become of it.
        measured: The sizes of its file, `None` where the budget asks for no file.
        reason: Why a layer stays as it is.
        exponent: The power of the losses by which it was chosen.
    """

    model: keras.Model
    fitted: list[Fitted]
    measured: FileSizes | None = None
    reason: str = "compressing it would cost more accuracy than compressing other layers"
    exponent: int = 1


def solve_tolerance(builder: StudentBuilder, tolerance: float) -> Solution:
    """Return each layer in its smallest factorization whose relative error is in the tolerance."""
    factorizations = [
        min(
            (each for each in options if each.error**0.5 <= tolerance),
            key=lambda each: each.parameters,
        )
        for options in builder.factorizations
    ]
    fitted = builder.fit(factorizations)
    reason = "no smaller factorization of it is within the tolerance"
    return Solution(builder.assemble(fitted), fitted, reason=reason)


def solve_cost(builder: StudentBuilder, costs: Costs, limit: int) -> Solution:
    """Return the solution that costs no more than a limit and does the least damage.

    What each layer would lose alone does not add up: what several lose together is more, as the
    errors of one meet those of others. So large losses are to weigh more than in a plain sum. Of
    sums of losses to the power of 1, 2, 4 and so on the first is taken that no other one improves
    on in the outputs measured.

    Args:
        builder: Of the model.
        costs: What counts against the limit.
        limit: The most that the whole model may cost, not below `costs.smallest`.
    """
    best: Solution | None = None
    least, tried = float("inf"), []
    for exponent in _EXPONENTS if builder.statistics else _EXPONENTS[:1]:
        factorizations = choose(builder, costs, limit, exponent)
        if factorizations in tried:
            continue
        tried.append(factorizations)
        solution = solution_of(builder, factorizations, exponent)
        error = builder.statistics.error_of_model(solution.model) if builder.statistics else 0.0
        if error >= least:
            break
        best, least = solution, error
    assert best is not None
    return best


def solution_of(
    builder: StudentBuilder, factorizations: Sequence[Factorization], exponent: int = 1
) -> Solution:
    """Return the solution with the layers in some of their factorizations."""
    fitted = builder.fit(factorizations)
    return Solution(builder.assemble(fitted), fitted, exponent=exponent)
