"""Searching for good modes."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dart_keras.tensor_train.modes.candidates import ModePair, preference
from dart_keras.tensor_train.modes.costs import batch_uniform_ranks
from dart_keras.tensor_train.modes.evaluation import Evaluation, rank_rule, unreachable
from dart_keras.tensor_train.modes.exploration import (
    COSTS,
    Estimator,
    ParameterRange,
    RankRule,
    explore,
)
from dart_keras.tensor_train.modes.factorization import padded_dims
from dart_keras.tensor_train.modes.kernel_error import kernel_ranks
from dart_keras.tensor_train.modes.pareto import non_dominated, spread_front
from dart_keras.tensor_train.modes.refinement import refine
from dart_keras.tensor_train.modes.request import Request, check_request
from dart_keras.tensor_train.modes.suggestion import Suggestion

# How many trains get exact costs, or with a matrix how many at first.
SHORT_LIST = 16
# Ranks are whole numbers, so that no train spends a budget to the last parameter. One that leaves
# more than a tenth of it is not compared with the others.
SPENT = 0.9


def suggest_modes(
    input_dim: int,
    output_dim: int,
    objective: str = "parameters",
    *,
    ranks: int | None = None,
    max_parameters: int | None = None,
    max_multiply_adds: float | None = None,
    max_time: float | None = None,
    max_arena: float | None = None,
    max_error: float | None = None,
    target: str = "cpu",
    rows: int | None = None,
    max_cores: int = 4,
    matrix: Any = None,
) -> Suggestion:
    """Search for the modes of a tensor train that cost least, and for what else is worth a look.

    A TT matrix has as many cores as modes a side (Novikov et al. 2015, section 3). They decide how
    fast it is, not only how small: the same parameters can take 25 times the arithmetic. The search
    goes over all ordered factorizations of both dimensions, ones included, so that the plain
    low-rank factorization, modes (N, 1) and (1, M), is one of the candidates. A dimension with a
    prime factor above 13 may be padded, too, by at most a sixteenth.

    In the first stage costs are estimated for all pairs of factorizations of a number of cores, if
    they are at most 100,000, otherwise for a beam: a sample, its best trains, and what comes from
    these by moving a prime factor from core to core. In the second stage the contraction planner
    gives exact costs for a short list: the best by estimate, and the Pareto front. So parameters
    are the least there are wherever the search was not a beam; the other costs are so up to the
    estimate. With a matrix, a third stage climbs from the best point to trains that hold it
    better: first the trains of two cores, as many as there is time for, then neighbours that come
    from moving a prime, splitting a core or merging two. This is the tensor shape search of the
    literature (Solgi et al. 2023, "Tensor shape search for efficient compression of tensorized
    data and neural networks", there by a genetic algorithm). The errors are exact where an
    unfolding has a side of at most 512 or its rank is not small, and where `max_error` decides on
    the ranks; otherwise they are from above, within a hundredth.

    Args:
        input_dim: The number of rows N of the matrix.
        output_dim: The number of columns M of the matrix.
        objective: The cost to make small: `"parameters"`; `"multiply_adds"`; `"time"`, of one
            forward pass; `"arena"`, the memory for what the layer computes; `"error"`, the relative
            Frobenius error that TT-SVD leaves of `matrix`. Of trains that cost the same, the one
            with fewer cores is taken, then one without padding, then the most balanced one.
        ranks: The rank of every bond, clipped to what the modes allow. `None` for the largest one
            with which a train has no more than `max_parameters`, so that all are compared at an
            equal number of parameters: those that leave more than a tenth of it unused are out,
            while there are others. Without `max_parameters` it is what `max_error` needs, or the
            layers' default, 8.
        max_parameters: The most numbers that the cores may hold. Trains that hold as many as the
            matrix are out in any case, while there are others.
        max_multiply_adds: The most multiply-adds.
        max_time: The most microseconds, by the planner's estimate.
        max_arena: The most bytes that a step of the contraction may read and write, cores not
            counted: 4 an element on `"cpu"` and `"raspberry-pi"`, 1 on microcontrollers, whose
            models are quantized to int8 (`Device.bytes_per_element`).
        max_error: The largest relative Frobenius error. Without `ranks` and `max_parameters`, ranks
            are the smallest that TT-SVD finds for it.
        target: A device's name, a key of `dart_keras.devices.DEVICES`.
        rows: How many rows are multiplied at a time. `None` for 64 on `"cpu"`, 1 where `.tflite`
            files run.
        max_cores: The most modes a side, from 2 to 4.
        matrix: The matrix that is to be held, an array of shape (N, M) and a float dtype, or
            `None`. It takes from seconds to minutes; without it the answer is there within one.

    Returns:
        The best point, with its modes, ranks and costs, and the Pareto front of those looked at.

    Raises:
        ValueError: If an argument is not valid, or no train keeps to the limits.

    Example:
        >>> found = suggest_modes(784, 1024, ranks=4, max_cores=2)
        >>> found.input_modes, found.output_modes, found.ranks, found.parameters
        ((28, 28), (32, 32), (1, 4, 1), 7168)
        >>> fast = suggest_modes(4096, 1024, objective="time", max_parameters=500_000)
        >>> fast.parameters <= 500_000, fast.microseconds < fast.dense.microseconds
        (True, True)
        >>> suggest_modes(787, 1024, ranks=4, max_cores=3).input_modes  # 787 is a prime
        (16, 5, 10)
    """
    limits = {
        "parameters": max_parameters,
        "multiply_adds": max_multiply_adds,
        "time": max_time,
        "arena": max_arena,
        "error": max_error,
    }
    request = check_request(
        input_dim, output_dim, objective, ranks, limits, target, rows, max_cores, matrix
    )
    for parameter_range in _parameter_ranges(request):
        evaluation = Evaluation(request, parameter_range)
        evaluation.add(_short_list(request, parameter_range))
        if evaluation.points:
            break
    else:
        raise ValueError(unreachable("parameters", parameter_range[1], _fewest_parameters(request)))
    if request.matrix is not None:
        refine(evaluation, request)
    points = evaluation.allowed()
    front = non_dominated(np.array([point.costs for point in points]))
    return Suggestion(
        **vars(points[0]),
        objective=objective,
        target=target,
        dense=evaluation.dense(),
        front=tuple(points[i] for i in sorted(front)),
    )


def _parameter_ranges(request: Request) -> Iterator[ParameterRange]:
    """What numbers of parameters to look for, one after another until there are such trains."""
    limit = request.limits["parameters"]
    # A train that holds as many numbers as the matrix is of use only where no other can be had.
    most = min(limit, request.input_dim * request.output_dim - 1)
    if request.ranks is None and math.isfinite(limit):
        yield SPENT * most, most
    yield 0, most
    yield 0, limit


def _short_list(request: Request, parameter_range: ParameterRange) -> list[ModePair]:
    """Trains that are promising by estimate, for the objective or as points of the front."""
    groups: list[tuple[list[ModePair], np.ndarray]] = []
    for estimate in _estimators(request, parameter_range):
        found = list(_explored(request, estimate))
        # The estimate knows nothing of errors, so that no number of cores may crowd out another.
        if request.objective != "error":
            pooled = [shape for some, _ in found for shape in some]
            found = [(pooled, np.concatenate([costs for _, costs in found]))]
        groups += found
    chosen: list[ModePair] = []
    for candidates, costs in groups:
        if candidates:
            chosen += _most_promising(candidates, costs, request, SHORT_LIST // len(groups))
    return chosen


def _estimators(request: Request, parameter_range: ParameterRange) -> Iterator[Estimator]:

    rules: list[RankRule] = [rank_rule(request, parameter_range[1])]
    if request.matrix is not None and request.tolerance is not None:
        # The ranks are not known without TT-SVD, but those of the low-rank factorization are an
        # upper end of what to expect of a matrix that has some structure.
        low_rank = ((request.input_dim, 1), (1, request.output_dim))
        highest = max(kernel_ranks(request.matrix, low_rank, request.tolerance)[0])
        guesses = sorted({1, math.isqrt(highest), highest})
        rules = [partial(batch_uniform_ranks, rank=rank) for rank in guesses]
        parameter_range = (0, math.inf)
    for rule in rules:
        yield Estimator(rule, request.rows, request.device, parameter_range)


def _explored(request: Request, estimate: Estimator) -> Iterator[tuple[list[ModePair], np.ndarray]]:
    dims = padded_dims(request.input_dim), padded_dims(request.output_dim)
    for cores in range(2, request.max_cores + 1):
        yield explore(*dims, cores, estimate)


def _most_promising(
    candidates: list[ModePair], costs: np.ndarray, request: Request, count: int
) -> list[ModePair]:
    """Some trains: the best ones, those that are best in another cost, and the front."""
    if len(candidates) <= count:
        return candidates
    chosen = _ranking(candidates, costs, request, request.objective)[: count // 2]
    chosen += [_ranking(candidates, costs, request, name)[0] for name in COSTS]
    chosen += spread_front(costs, count // 2).tolist()
    return [candidates[i] for i in dict.fromkeys(chosen)]


def _ranking(
    candidates: list[ModePair], costs: np.ndarray, request: Request, objective: str
) -> list[int]:
    """The indices of the candidates by objective, those that seem to break a limit at the end."""
    limits = np.array([request.limits[name] for name in COSTS])
    breaking = np.any(costs > limits, axis=1)
    known = objective in COSTS
    values = costs[:, COSTS.index(objective)] if known else np.zeros(len(costs))

    def key(i: int) -> tuple[object, ...]:
        order = preference(candidates[i], request.input_dim, request.output_dim)
        return breaking[i], values[i], *order

    return sorted(range(len(candidates)), key=key)


def _fewest_parameters(request: Request) -> float:
    rank = 1 if request.ranks is None else request.ranks
    anything = (0, math.inf)
    (estimate,) = _estimators(replace(request, ranks=rank), anything)
    return min(costs[:, 0].min() for _, costs in _explored(request, estimate) if len(costs))
