import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.compression.search.model_costs import choose, parameter_costs
from dart_keras.compression.search.solution import solve_cost, solve_tolerance
from tests.compression.search.problem import (
    COSTS,
    builder,
    builder_of,
    costs,
    counted,
    limits,
)


@given(st.sampled_from(list(COSTS)), st.floats(0, 1), st.booleans())
@settings(max_examples=8)
def test_no_model_is_above_its_budget(kind, share, with_data):
    with_data = with_data or kind is MultiplyAdds
    limit = limits(kind, share, with_data)
    solution = solve_cost(builder(with_data), costs(kind, with_data), limit)
    assert counted(solution.model, kind) <= limit
    assert solution.measured is None
    # Layers that stay whole get other numbers at most where there are data and others before them.
    for found in solution.fitted:
        assert found.layer is not None or found.factorization.kind == "dense"
        assert (
            found.layer is None
            or found.factorization.kind != "dense"
            or (with_data and found.error > 0)
        )


@pytest.mark.parametrize("kind", COSTS)
def test_outputs_come_closer_as_budgets_grow(kind):
    errors = []
    for share in (0, 0.15, 0.4, 0.85):
        solution = solve_cost(builder(), costs(kind), limits(kind, share))
        errors.append(builder().statistics.error_of_model(solution.model))
    for one, other in itertools.pairwise(errors):
        assert 0 < other < 0.9 * one


@pytest.mark.parametrize("kind", COSTS)
def test_a_budget_that_is_large_enough_changes_nothing(kind):
    solution = solve_cost(builder(), costs(kind), counted(builder().model, kind))
    assert builder().statistics.error_of_model(solution.model) == 0
    assert solution.model.count_params() == builder().model.count_params()


def test_the_model_measured_best_is_taken():
    # Of the sums of losses to several powers; the first is the plain one.
    limit = limits(Parameters, 0.4)
    plain = builder().fit(choose(builder(), costs(Parameters), limit))
    solution = solve_cost(builder(), costs(Parameters), limit)
    least = builder().statistics.error_of_model(builder().assemble(plain))
    assert builder().statistics.error_of_model(solution.model) <= least * (1 + 1e-6)


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize("tolerance", [0.5, 0.2, 0.05])
def test_each_error_is_within_the_tolerance(tolerance, with_data):
    known = builder(with_data)
    solution = solve_tolerance(known, tolerance)
    for compressible, factorizations, found in zip(
        known.compressibles, known.factorizations, solution.fitted, strict=True
    ):
        assert found.factorization.error**0.5 <= tolerance
        # Nothing smaller is.
        within = [
            factorization.parameters
            for factorization in factorizations
            if factorization.error**0.5 <= tolerance
        ]
        assert found.factorization.parameters == min(within)
        if found.layer is not None and not with_data:
            lost = np.linalg.norm(found.layer.to_tt().to_dense() - compressible.kernel)
            assert lost <= tolerance * np.linalg.norm(compressible.kernel) * (1 + 1e-5)
    if with_data:
        assert known.statistics.error_of_model(solution.model) < (3 * tolerance) ** 2
    assert solution.model.count_params() < known.model.count_params()


@pytest.mark.parametrize("share", [0.35, 0.5])
def test_without_data_no_matrix_is_all_but_deleted(share):
    """Of a table as large as all the rest, whose parameters buy least."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((4,), dtype="int32")
    x = keras.layers.Embedding(512, 32, name="table")(ids)
    for _ in range(4):
        x = keras.layers.Dense(64, "relu")(keras.layers.Dense(32, "relu")(x))
    model = keras.Model(ids, x)
    of_model = builder_of(model)
    solution = solve_cost(of_model, parameter_costs(of_model), int(share * model.count_params()))
    assert max(found.error for found in solution.fitted) < 0.85
