"""Balanced TT matrices in place of low-rank ones."""

from collections.abc import Sequence

from dart_keras.compression.compressible import Factorization
from dart_keras.compression.search.model_costs import Costs, cost_of
from dart_keras.compression.search.solution import Solution
from dart_keras.compression.search.student import StudentBuilder

# Layers with less of a model's parameters than this are left whole beside balanced TT matrices.
_SMALL = 0.01

_Options = dict[int, list[Factorization]]


def solve_balanced(
    builder: StudentBuilder, costs: Costs, limit: int, factorizations: Sequence[Factorization]
) -> Solution | None:
    """Return a solution with balanced TT matrices, all of the largest rank that fits.

    They lose more than low-rank matrices at first. But they are matrices of high rank, with which
    training may come closer in the end: a low-rank layer has no more directions than its rank. What
    they lose before training says little about which one should have more of the budget. Small
    layers, such as the last one of a classifier, are left whole where the budget allows it.

    All keep to their weights. Fitted to their outputs, TT matrices of few ranks would give little
    but the mean of these, out of a large bias, and from there training ends farther away.

    Args:
        builder: Of the model.
        costs: What counts against the limit.
        limit: The most that the whole model may cost.
        factorizations: Of the layers, within the limit. Those of large layers that are not of low
            rank stay.

    Returns:
        The solution; `None` where nothing can be balanced within the limit.
    """
    balanced = {
        k: [each for each in builder.factorizations[k] if each.kind == "TT matrix"]
        for k, factorization in enumerate(factorizations)
        if factorization.kind == "low rank"
    }
    balanced = {k: options for k, options in balanced.items() if options}
    most = _SMALL * builder.model.count_params()
    small = [k for k in balanced if builder.compressibles[k].dense.parameters < most]
    chosen = list(factorizations)
    for k in small:
        chosen[k] = builder.factorizations[k][-1]
    large = {k: options for k, options in balanced.items() if k not in small}
    found = _of_one_rank(builder, costs, limit, chosen, large)
    return found or _of_one_rank(builder, costs, limit, factorizations, balanced)


def _of_one_rank(
    builder: StudentBuilder,
    costs: Costs,
    limit: int,
    factorizations: Sequence[Factorization],
    balanced: _Options,
) -> Solution | None:
    """Return some factorizations, for some layers of the largest rank with which all fit."""
    ranks = {_rank(each) for options in balanced.values() for each in options}
    for rank in sorted(ranks, reverse=True):
        chosen = list(factorizations)
        for k, options in balanced.items():
            # A layer without a rank so small has its smallest.
            within = [each for each in options if _rank(each) <= rank]
            chosen[k] = max(within, key=_rank) if within else min(options, key=_rank)
        if cost_of(builder, costs, chosen) <= limit:
            fitted = builder.decompose(chosen)
            return Solution(builder.assemble(fitted), fitted)
    return None


def _rank(factorization: Factorization) -> int:
    return max(rank for rank in factorization.ranks if rank is not None)
