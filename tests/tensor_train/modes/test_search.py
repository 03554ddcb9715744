import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix, complete_ranks, count_parameters, suggest_modes
from dart_keras.tensor_train.contraction import cheapest_plan
from dart_keras.tensor_train.modes import factorizations
from dart_keras.tensor_train.modes.factorization import padded_dims

OBJECTIVES = ["parameters", "multiply_adds", "time", "arena"]
# Dimensions without padding.
SMALL = st.sampled_from([n for n in range(8, 65) if len(padded_dims(n)) == 1])


def every_point(n, m, rank, target, max_cores):
    """Return the costs of all candidates, in the order of `OBJECTIVES`."""
    points = {}
    for cores in range(2, max_cores + 1):
        for pair in itertools.product(factorizations(n, cores), factorizations(m, cores)):
            ranks = complete_ranks(rank, *pair)
            parameters = count_parameters(*pair, ranks)
            plan = cheapest_plan(
                *pair,
                ranks,
                64 if target == "cpu" else 1,
                target=target,
                max_parameters=None if target == "cpu" else parameters,
            )
            arena = plan.peak_elements * (1 if target == "microcontroller" else 4)
            points[pair] = (parameters, plan.multiply_adds, plan.microseconds, arena)
    smaller = {pair: costs for pair, costs in points.items() if costs[0] < n * m}
    return smaller or points


@pytest.mark.parametrize("target", ["cpu", "microcontroller"])
@settings(max_examples=5)
@given(n=SMALL, m=SMALL, rank=st.integers(2, 9))
def test_suggestion_is_the_best(target, n, m, rank):
    points = every_point(n, m, rank, target, max_cores=2)
    for k, objective in enumerate(OBJECTIVES):
        found = suggest_modes(n, m, objective, ranks=rank, target=target, max_cores=2)
        assert found.ranks == complete_ranks(rank, *found.shape)
        assert found.costs == points[found.shape]
        best = min(costs[k] for costs in points.values())
        # Only parameters are exact in the first stage.
        slack = 1 if objective == "parameters" else 1.1
        assert best <= found.costs[k] <= slack * best


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_suggestion_of_three_cores_is_the_best(objective):
    points = every_point(20, 12, 3, "cpu", max_cores=3)
    found = suggest_modes(20, 12, objective, ranks=3, max_cores=3)
    best = min(costs[OBJECTIVES.index(objective)] for costs in points.values())
    assert best <= found.costs[OBJECTIVES.index(objective)] <= 1.1 * best


@given(st.integers(2, 400), st.integers(2, 400), st.sampled_from(OBJECTIVES))
def test_budget_is_kept_and_used(n, m, objective):
    budget = max(n * m // 8, n + m)
    found = suggest_modes(n, m, objective, max_parameters=budget, max_cores=2)
    assert found.parameters <= budget
    for point in (found, *found.front):
        inputs, outputs = point.shape
        assert n <= math.prod(inputs) <= n * 17 / 16
        assert m <= math.prod(outputs) <= m * 17 / 16
        assert point.parameters == count_parameters(inputs, outputs, point.ranks)
        larger = complete_ranks(max(point.ranks) + 1, inputs, outputs)
        most = min(budget, n * m - 1) if found.parameters < n * m else budget
        assert larger == point.ranks or count_parameters(inputs, outputs, larger) > most


def dominates(a, b):
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("matrix", [None, np.random.default_rng(0).normal(size=(36, 40))])
def test_front_is_not_dominated(matrix):
    found = suggest_modes(36, 40, "time", ranks=3, matrix=matrix)
    assert len(found.front) > 1
    costs = [point.costs for point in found.front]
    assert len(set(costs)) == len(costs)
    assert not any(dominates(a, b) for a, b in itertools.permutations(costs, 2))
    assert not any(dominates(found.costs, other) for other in costs)
    # Without ties, the best point is the first of the front.
    assert found.front[0].microseconds == found.microseconds


@pytest.mark.parametrize("dims", [(1024, 1024), (787, 1031), (30522, 768)])
@pytest.mark.parametrize("target", ["cpu", "raspberry-pi", "microcontroller"])
def test_low_rank_factorization_has_the_fewest_multiply_adds(dims, target):
    n, m = dims
    found = suggest_modes(n, m, "multiply_adds", ranks=8, target=target)
    assert found.shape == ((n, 1), (1, m))
    assert found.ranks == (1, 8, 1)


@pytest.mark.parametrize(
    ("limit", "cost"),
    [
        ("max_parameters", "parameters"),
        ("max_multiply_adds", "multiply_adds"),
        ("max_time", "microseconds"),
        ("max_arena", "arena_bytes"),
    ],
)
def test_limits_are_kept(limit, cost):
    for objective in OBJECTIVES:
        free = suggest_modes(256, 240, objective, ranks=6)
        values = sorted(getattr(point, cost) for point in free.front)
        middle = values[len(values) // 2]
        found = suggest_modes(256, 240, objective, ranks=6, **{limit: middle})
        assert all(getattr(point, cost) <= middle for point in (found, *found.front))
        assert found.costs[OBJECTIVES.index(objective)] >= free.costs[OBJECTIVES.index(objective)]


def test_dimension_is_padded_if_that_is_cheaper():
    padded = suggest_modes(1031, 1024, ranks=4)
    assert 1031 < math.prod(padded.input_modes) <= 1031 * 17 / 16
    assert padded.parameters < suggest_modes(1031, 1024, ranks=4, max_cores=2).parameters


def test_ties_are_decided_by_cores_and_balance():
    # 28 x 28 / 32 x 32 has as many parameters as 14 x 56 / 64 x 16.
    found = suggest_modes(784, 1024, max_cores=2)
    assert found.shape == ((28, 28), (32, 32))
    assert found.ranks == (1, 8, 1)


def test_search_is_reproducible():
    answers = [suggest_modes(5040, 2520, "time", max_parameters=50_000) for _ in range(2)]
    assert answers[0] == answers[1]


def test_very_small_dimensions():
    assert suggest_modes(1, 1).parameters == 2
    assert suggest_modes(1, 7).shape == ((1, 1), (1, 7))
    found = suggest_modes(4, 4)
    assert found.parameters > 16
    assert found.dense.parameters == 16


@pytest.mark.parametrize("dims", [(32768, 32768), (27720, 27720), (32749, 32749)])
def test_very_large_dimensions(dims):
    n, m = dims
    found = suggest_modes(n, m, "time", max_parameters=500_000)
    assert 450_000 <= found.parameters <= 500_000
    assert found.multiply_adds < found.dense.multiply_adds / 100
    assert n <= math.prod(found.input_modes) <= n * 17 / 16


def planted(rng, inputs, outputs, noise):
    terms = []
    for _ in range(2):
        term = np.ones((1, 1))
        for n, m in zip(inputs, outputs, strict=True):
            term = np.kron(term, rng.normal(size=(n, m)))
        terms.append(term)
    matrix = sum(terms)
    return matrix / matrix.std() + noise * rng.normal(size=matrix.shape)


@pytest.mark.parametrize(("inputs", "outputs"), [((6, 8), (10, 4)), ((3, 4, 4), (5, 2, 4))])
def test_planted_modes_are_found(inputs, outputs):
    matrix = planted(np.random.default_rng(0), inputs, outputs, noise=0.01)
    found = suggest_modes(48, 40, max_error=0.05, matrix=matrix, max_cores=3)
    assert found.shape in ((inputs, outputs), (inputs[::-1], outputs[::-1]))
    assert set(found.ranks[1:-1]) == {2}
    assert found.error < 0.02


def test_errors_match_tt_svd():
    matrix = planted(np.random.default_rng(1), (6, 4), (5, 4), noise=0.3)
    found = suggest_modes(24, 20, "error", max_parameters=150, matrix=matrix, max_cores=3)
    for point in (found, *found.front):
        tt = TTMatrix.from_dense(matrix, *point.shape, ranks=point.ranks)
        error = np.linalg.norm(matrix - tt.to_dense()) / np.linalg.norm(matrix)
        assert point.error == pytest.approx(error, abs=1e-6)
        assert point.error >= found.error


def test_error_as_a_limit():
    matrix = planted(np.random.default_rng(2), (4, 8), (8, 4), noise=0.1)
    free = suggest_modes(32, 32, "time", max_parameters=300, matrix=matrix)
    found = suggest_modes(32, 32, "time", max_parameters=300, max_error=0.2, matrix=matrix)
    assert free.error > 0.2 >= found.error
    assert all(point.error <= 0.2 for point in found.front)
    assert free.microseconds <= found.microseconds


def test_noise_needs_as_many_parameters_as_elements():
    noise = np.random.default_rng(0).normal(size=(16, 16))
    found = suggest_modes(16, 16, max_error=0.001, matrix=noise, max_cores=2)
    assert found.error <= 0.001
    assert found.parameters >= 256


def test_it_reports_its_progress(progress_lines):
    matrix = np.random.default_rng(0).normal(size=(16, 12))
    suggest_modes(16, 12, ranks=2, matrix=matrix)
    assert " done in " in progress_lines()["evaluating modes"]
