"""Which factorization each layer takes under a budget."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras

from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.knapsack import Option, allocate
from dart_keras.compression.search.student import Fitted, Fitter
from dart_keras.selection import Energy

# Exponents of the losses that are tried, for as long as a larger one gains.
_EXPONENTS = (1, 2, 4, 8)

# Layers with less of a model's parameters than this are left whole beside balanced trains.
_SMALL = 0.01

# What a file holds for each product beside its weights, which take a byte: the operator, the
# tensors around it and their scales. Files of 10 to 20 products have 700 to 900 for each.
_BYTES_OF_A_PRODUCT = 800


class Solution(NamedTuple):
    """A small model.

    Attributes:
        model: The model.
        fitted: For each layer what has become of it.
        measured: What was measured of its file, as in `CompressionReport`.
        reason: Why a layer stays as it is.
        exponent: The power of the losses by which it was chosen.
    """

    model: keras.Model
    fitted: list[Fitted]
    measured: dict[str, int]
    reason: str = "fewer parameters would do more damage here than elsewhere"
    exponent: int = 1


def solve_tolerance(fitter: Fitter, energy: Energy) -> Solution:
    """Each layer in its smallest factorization with a relative error, a root, in the tolerance."""
    factorizations = [
        min(
            (each for each in options if each.error**0.5 <= energy.tolerance),
            key=lambda each: each.parameters,
        )
        for options in fitter.factorizations
    ]
    fitted = fitter.fit(factorizations)
    reason = "no smaller factorization of it is within the tolerance"
    return Solution(fitter.assemble(fitted), fitted, {}, reason)


def solve_cost(fitter: Fitter, kind: str, limit: int) -> Solution:
    """The factorizations that together cost no more than a limit and do the least damage.

    What each layer would lose alone does not add up: what several lose together is more, as the
    errors of one meet those of others. So large losses are to weigh more than in a plain sum. Of
    sums of losses to the power of 1, 2, 4 and so on the first is taken that no other one improves
    on in the outputs measured.

    Args:
        fitter: Of the model.
        kind: "parameters", "multiply_adds" or, by estimate, "file_bytes".
        limit: The most of these that the whole model may need.

    Raises:
        ValueError: If the smallest factorizations of all layers need more.
    """
    best: Solution | None = None
    least, tried = float("inf"), []
    for exponent in _EXPONENTS if fitter.observer else _EXPONENTS[:1]:
        factorizations = choose(fitter, kind, limit, exponent)
        if factorizations in tried:
            continue
        tried.append(factorizations)
        solution = solution_of(fitter, factorizations, exponent)
        error = fitter.observer.error_of_model(solution.model) if fitter.observer else 0.0
        if error >= least:
            break
        best, least = solution, error
    assert best is not None
    return best


def solution_of(
    fitter: Fitter, factorizations: Sequence[Factorization], exponent: int = 1
) -> Solution:
    """The layers in some of their factorizations, as `choose` has chosen them."""
    fitted = fitter.fit(factorizations)
    return Solution(fitter.assemble(fitted), fitted, {}, exponent=exponent)


def solve_cost_balanced(
    fitter: Fitter, kind: str, limit: int, factorizations: Sequence[Factorization]
) -> Solution | None:
    """The same with balanced trains in place of low-rank ones, all of the largest rank that fits.

    Balanced trains lose more at first. But their matrices are of high rank, with which training may
    come closer in the end: a low-rank layer has no more directions than its rank. What they lose
    before training says little about which one should have more of the budget. Small layers, such
    as the last one of a classifier, are left whole where the budget allows it.

    All keep to their weights. Fitted to their outputs, trains of few ranks would give little but
    the mean of these, out of a large bias, and from there training ends farther away.

    Args:
        fitter: Of the model.
        kind: As for `solve_cost`.
        limit: As for `solve_cost`.
        factorizations: Of the layers, within the limit. Those of large layers that are not of low
            rank stay.

    Returns:
        `None` where nothing can be balanced within the limit.
    """
    trains = {
        k: [each for each in fitter.factorizations[k] if each.kind == "tensor train"]
        for k, factorization in enumerate(factorizations)
        if factorization.kind == "low rank"
    }
    trains = {k: options for k, options in trains.items() if options}
    most = _SMALL * fitter.model.count_params()
    small = [k for k in trains if fitter.compressibles[k].dense.parameters < most]
    chosen = list(factorizations)
    for k in small:
        chosen[k] = fitter.factorizations[k][-1]
    large = {k: options for k, options in trains.items() if k not in small}
    found = _of_one_rank(fitter, kind, limit, chosen, large)
    return found or _of_one_rank(fitter, kind, limit, factorizations, trains)


def _of_one_rank(
    fitter: Fitter,
    kind: str,
    limit: int,
    factorizations: Sequence[Factorization],
    trains: dict[int, list[Factorization]],
) -> Solution | None:
    """Some factorizations, and for some layers trains of the largest rank with which all fit."""
    ranks = {_rank(each) for options in trains.values() for each in options}
    for rank in sorted(ranks, reverse=True):
        chosen = list(factorizations)
        for k, options in trains.items():
            # A layer without a rank so small has its smallest.
            within = [each for each in options if _rank(each) <= rank]
            chosen[k] = max(within, key=_rank) if within else min(options, key=_rank)
        if cost_of(fitter, kind, chosen) <= limit:
            fitted = fitter.decompose(chosen)
            return Solution(fitter.assemble(fitted), fitted, {})
    return None


def _rank(factorization: Factorization) -> int:
    return max(rank for rank in factorization.ranks if rank is not None)


def choose(fitter: Fitter, kind: str, limit: int, exponent: int = 1) -> list[Factorization]:
    """For each layer a factorization, all within a limit, by the sum of losses to a power."""
    costs, rest = _costs(fitter, kind)
    smallest = smallest_cost(fitter, kind)
    if smallest > limit:
        name = kind.replace("_", "-")
        raise ValueError(
            f"Expected a budget of at least {smallest} {name}, which the smallest factorizations "
            f"of all layers and the rest of the model take. Received: {kind}={limit}"
        )
    choices = [
        [Option(cost, loss**exponent) for cost, loss in zip(options, losses, strict=True)]
        for options, losses in zip(costs, fitter.losses, strict=True)
    ]
    picks = allocate(choices, limit - rest)
    return [options[k] for options, k in zip(fitter.factorizations, picks, strict=True)]


def smallest_cost(fitter: Fitter, kind: str) -> int:
    """What the model costs with all layers in their cheapest factorizations."""
    costs, rest = _costs(fitter, kind)
    return math.ceil(rest + sum(map(min, costs)) - 1e-6)


def cost_of(fitter: Fitter, kind: str, factorizations: Sequence[Factorization]) -> int:
    """What the model costs with its layers in some of their factorizations."""
    costs, rest = _costs(fitter, kind)
    places = [
        options.index(chosen)
        for options, chosen in zip(fitter.factorizations, factorizations, strict=True)
    ]
    return round(rest + sum(each[place] for each, place in zip(costs, places, strict=True)))


def _costs(fitter: Fitter, kind: str) -> tuple[Sequence[Sequence[float]], float]:
    """What each factorization of each layer costs, and the rest of the model."""
    if kind in ("parameters", "file_bytes"):
        each = _BYTES_OF_A_PRODUCT if kind == "file_bytes" else 0
        counts = [
            [factorization.parameters + each * factorization.products for factorization in options]
            for options in fitter.factorizations
        ]
        dense = sum(layer.dense.parameters for layer in fitter.compressibles)
        return counts, fitter.model.count_params() - dense
    if fitter.observer is None:
        raise ValueError(
            "Expected `calibration_data`, which show how often each layer is called, for a budget "
            "of multiply-adds. Received: calibration_data=None"
        )
    return [
        [each.multiply_adds * rows for each in options]
        for options, rows in zip(fitter.factorizations, fitter.observer.rows, strict=True)
    ], fitter.observer.other_multiply_adds
