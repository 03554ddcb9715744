"""Which form each layer takes under a budget."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import keras

from dart_keras.compression.compressible import Form
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

    Args:
        model: The model.
        fitted: For each part what has become of it.
        measured: What was measured of its file, as in `CompressionReport`.
        reason: Why a part stays as it is.
        exponent: The power of the losses by which it was chosen.
    """

    model: keras.Model
    fitted: list[Fitted]
    measured: dict[str, int]
    reason: str = "fewer parameters would do more damage here than elsewhere"
    exponent: int = 1


def solve_tolerance(fitter: Fitter, energy: Energy) -> Solution:
    """Each part in its smallest form whose relative error, a root, is within the tolerance."""
    forms = [
        min(
            (form for form in part if form.error**0.5 <= energy.tolerance),
            key=lambda form: form.parameters,
        )
        for part in fitter.forms
    ]
    fitted = fitter.fit(forms)
    reason = "no smaller form of it is within the tolerance"
    return Solution(fitter.assemble(fitted), fitted, {}, reason)


def solve_cost(fitter: Fitter, kind: str, limit: int) -> Solution:
    """The parts in forms that together cost no more than a limit and do the least damage.

    What each layer would lose alone does not add up: what several lose together is more, as the
    errors of one meet those of others. So large losses are to weigh more than in a plain sum. Of
    sums of losses to the power of 1, 2, 4 and so on the first is taken that no other one improves
    on in the outputs measured.

    Args:
        fitter: Of the model.
        kind: "parameters", "multiply_adds" or, by estimate, "file_bytes".
        limit: The most of these that the whole model may need.

    Raises:
        ValueError: If the smallest forms of all parts need more.
    """
    best: Solution | None = None
    least, tried = float("inf"), []
    for exponent in _EXPONENTS if fitter.observer else _EXPONENTS[:1]:
        forms = choose(fitter, kind, limit, exponent)
        if forms in tried:
            continue
        tried.append(forms)
        solution = solution_of(fitter, forms, exponent)
        error = fitter.observer.error_of_model(solution.model) if fitter.observer else 0.0
        if error >= least:
            break
        best, least = solution, error
    assert best is not None
    return best


def solution_of(fitter: Fitter, forms: Sequence[Form], exponent: int = 1) -> Solution:
    """The parts in some of their forms, as `choose` has chosen them."""
    fitted = fitter.fit(forms)
    return Solution(fitter.assemble(fitted), fitted, {}, exponent=exponent)


def solve_cost_balanced(
    fitter: Fitter, kind: str, limit: int, forms: Sequence[Form]
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
        forms: Of the parts, within the limit. Those of large parts that are not of low rank stay.

    Returns:
        `None` where nothing can be balanced within the limit.
    """
    trains = {
        k: [form for form in fitter.forms[k] if form.kind == "tensor train"]
        for k, form in enumerate(forms)
        if form.kind == "low rank"
    }
    trains = {k: part for k, part in trains.items() if part}
    most = _SMALL * fitter.model.count_params()
    small = [k for k in trains if fitter.parts[k].dense.parameters < most]
    chosen = list(forms)
    for k in small:
        chosen[k] = fitter.forms[k][-1]
    large = {k: part for k, part in trains.items() if k not in small}
    found = _of_one_rank(fitter, kind, limit, chosen, large)
    return found or _of_one_rank(fitter, kind, limit, forms, trains)


def _of_one_rank(
    fitter: Fitter,
    kind: str,
    limit: int,
    forms: Sequence[Form],
    trains: dict[int, list[Form]],
) -> Solution | None:
    """Some forms, and for some parts trains of the largest rank with which all fit."""
    for rank in sorted({_rank(form) for part in trains.values() for form in part}, reverse=True):
        chosen = list(forms)
        for k, part in trains.items():
            # A part without a rank so small has its smallest.
            within = [form for form in part if _rank(form) <= rank]
            chosen[k] = max(within, key=_rank) if within else min(part, key=_rank)
        if cost_of(fitter, kind, chosen) <= limit:
            fitted = fitter.decompose(chosen)
            return Solution(fitter.assemble(fitted), fitted, {})
    return None


def _rank(form: Form) -> int:
    return max(rank for rank in form.ranks if rank is not None)


def choose(fitter: Fitter, kind: str, limit: int, exponent: int = 1) -> list[Form]:
    """For each part a form, all together within a limit, by the sum of losses to a power."""
    costs, rest = _costs(fitter, kind)
    smallest = smallest_cost(fitter, kind)
    if smallest > limit:
        name = kind.replace("_", "-")
        raise ValueError(
            f"Expected a budget of at least {smallest} {name}, which the smallest forms of all "
            f"layers and the rest of the model take. Received: {kind}={limit}"
        )
    choices = [
        [Option(cost, loss**exponent) for cost, loss in zip(part, losses, strict=True)]
        for part, losses in zip(costs, fitter.losses, strict=True)
    ]
    picks = allocate(choices, limit - rest)
    return [part[k] for part, k in zip(fitter.forms, picks, strict=True)]


def smallest_cost(fitter: Fitter, kind: str) -> int:
    """What the model costs with all parts in their cheapest forms."""
    costs, rest = _costs(fitter, kind)
    return math.ceil(rest + sum(map(min, costs)) - 1e-6)


def cost_of(fitter: Fitter, kind: str, forms: Sequence[Form]) -> int:
    """What the model costs with its parts in some of their forms."""
    costs, rest = _costs(fitter, kind)
    places = [part.index(form) for part, form in zip(fitter.forms, forms, strict=True)]
    return round(rest + sum(part[place] for part, place in zip(costs, places, strict=True)))


def _costs(fitter: Fitter, kind: str) -> tuple[Sequence[Sequence[float]], float]:
    """What each form of each part costs, and the rest of the model."""
    if kind in ("parameters", "file_bytes"):
        each = _BYTES_OF_A_PRODUCT if kind == "file_bytes" else 0
        counts = [
            [form.parameters + each * form.products for form in part] for part in fitter.forms
        ]
        dense = sum(part.dense.parameters for part in fitter.parts)
        return counts, fitter.model.count_params() - dense
    if fitter.observer is None:
        raise ValueError(
            "Expected `calibration_data`, which show how often each layer is called, for a budget "
            "of multiply-adds. Received: calibration_data=None"
        )
    return [
        [form.multiply_adds * rows for form in part]
        for part, rows in zip(fitter.forms, fitter.observer.rows, strict=True)
    ], fitter.observer.other_multiply_adds
