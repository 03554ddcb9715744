"""Search for good modes."""

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

# Number of candidates with exact costs; with a matrix, the number at first.
SHORT_LIST = 16
# Ranks are integers, so no candidate uses a budget exactly. Those that leave more than a tenth of
# it unused are not compared with the others.
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
    """Search for the modes of a TT matrix with the lowest cost, and for other good ones.

    A TT matrix has as many cores as modes a side (Novikov et al. 2015, section 3). The modes decide
    its speed, not only its size: with the same parameters, one can need 25 times the multiply-adds
    of another. The search covers all ordered factorizations of both dimensions, ones included. So
    the low-rank factorization, modes (N, 1) and (1, M), is one of the candidates. A dimension with
    a prime factor above 13 may be padded, by at most a sixteenth.

    The first stage estimates costs. It considers all pairs of factorizations of a number of cores
    if there are at most 100,000. Otherwise it is a beam search: a sample, its best candidates, and
    what comes from these by moving a prime factor between cores. In the second stage the
    contraction planner computes exact costs for a short list: the best by estimate, and the Pareto
    front. So parameters are minimal unless the search was a beam search, and the other costs are
    minimal up to the estimate.

    With a matrix, a third stage climbs from the best point to modes with a smaller error. It tries
    candidates of two cores first, and then neighbours from moving a prime, splitting a core or
    merging two. This is tensor shape search (Solgi et al. 2023, "Tensor shape search for efficient
    compression of tensorized data and neural networks", there by a genetic algorithm). The errors
    are exact if an unfolding has a side of at most 512 or its rank is not small, and if `max_error`
    determines the ranks. Otherwise they are upper bounds within a hundredth.

    Args:
        input_dim: Number of rows N of the matrix.
        output_dim: Number of columns M of the matrix.
        objective: The cost to minimize: `"parameters"`; `"multiply_adds"`; `"time"` of one forward
            pass; `"arena"`, the memory for what the layer computes; or `"error"`, the relative
            Frobenius error of TT-SVD for `matrix`. At equal cost, fewer cores are preferred, then
            no padding, then balanced modes.
        ranks: Rank of every bond, clipped to what the modes allow. `None` for the largest rank
            within `max_parameters`, so that all candidates have about the same number of
            parameters. Those that leave more than a tenth of it unused are excluded if there are
            others. Without `max_parameters`, `None` is what `max_error` needs, or the layers'
            default, 8.
        max_parameters: Maximum number of parameters. Candidates with as many parameters as the
            matrix has elements are excluded anyway if there are others.
        max_multiply_adds: Maximum number of multiply-adds.
        max_time: Maximum time in microseconds, by the planner's estimate.
        max_arena: Maximum bytes that a step of the contraction may read and write, without the
            cores: 4 per element on `"cpu"` and `"raspberry-pi"`, 1 on microcontrollers, whose
            models are quantized to int8 (`Device.bytes_per_element`).
        max_error: Maximum relative Frobenius error. Without `ranks` and `max_parameters`, ranks are
            the smallest that TT-SVD finds for it.
        target: Name of a device, a key of `dart_keras.devices.DEVICES`.
        rows: Number of rows that are multiplied at a time. `None` for 64 on `"cpu"`, 1 on devices
            that run `.tflite` files.
        max_cores: Maximum number of modes a side, from 2 to 4.
        matrix: The matrix to factorize, a float array of shape (N, M), or `None`. With a matrix, a
            search takes seconds to minutes; without, less than a second.

    Returns:
        The best point, with its modes, ranks and costs, and the Pareto front.

    Raises:
        ValueError: If an argument is invalid, or no candidate is within the limits.

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
    """Yield ranges of parameters to search, until there are candidates."""
    limit = request.limits["parameters"]
    # Candidates with as many parameters as the matrix has elements are only a last resort.
    most = min(limit, request.input_dim * request.output_dim - 1)
    if request.ranks is None and math.isfinite(limit):
        yield SPENT * most, most
    yield 0, most
    yield 0, limit


def _short_list(request: Request, parameter_range: ParameterRange) -> list[ModePair]:
    """Return candidates that are promising by estimate, for the objective or for the front."""
    groups: list[tuple[list[ModePair], np.ndarray]] = []
    for estimate in _estimators(request, parameter_range):
        found = list(_explored(request, estimate))
        # The estimate has no errors, so every number of cores keeps its share of the list.
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
        # The ranks are not known without TT-SVD. Those of the low-rank factorization are an upper
        # bound to expect for a matrix with some structure.
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
    """Return the best candidates, the best ones by each other cost, and the front."""
    if len(candidates) <= count:
        return candidates
    chosen = _ranking(candidates, costs, request, request.objective)[: count // 2]
    chosen += [_ranking(candidates, costs, request, name)[0] for name in COSTS]
    chosen += spread_front(costs, count // 2).tolist()
    return [candidates[i] for i in dict.fromkeys(chosen)]


def _ranking(
    candidates: list[ModePair], costs: np.ndarray, request: Request, objective: str
) -> list[int]:
    """Return the candidates' indices by objective; those beyond a limit by estimate come last."""
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
