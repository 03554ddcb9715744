import re

import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import MultiplyAdds, Parameters, RelativeError
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.compression.search.budget_search import after_training, solve
from dart_keras.compression.search.student import StudentBuilder
from tests.compression.search.problem import COSTS, builder, costs, counted, limits


def smallest_of(error):
    """The budget that a refusal names."""
    return eval(re.search(r"at least (\w+\([\d_]+\)),", str(error.value))[1])


@pytest.mark.parametrize("kind", COSTS)
def test_an_unreachable_budget_names_one_that_is_reachable(kind):
    with pytest.raises(ValueError, match=rf"Received: {kind.__name__}\(1\)$") as error:
        solve(builder(), kind(1), with_balanced=False)
    smallest = smallest_of(error)
    assert smallest == kind(costs(kind).smallest)
    [solution] = solve(builder(), smallest, with_balanced=False)
    assert counted(solution.model, kind) == smallest.n
    with pytest.raises(ValueError, match=re.escape(f"at least {smallest},")):
        solve(builder(), kind(smallest.n - 1), with_balanced=False)


def test_multiply_adds_need_to_know_how_often_layers_are_called():
    with pytest.raises(ValueError, match=r"^Expected `calibration_data`.* Received: .*=None$"):
        solve(builder(with_data=False), MultiplyAdds(10**6), with_balanced=False)


def test_a_named_budget_is_reachable_where_rows_differ_in_length():
    x = keras.Input((None, 8))
    model = keras.Model(x, layers.Dense(8)(layers.Dense(8)(x)))
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(n, t, 8)).astype("float32") for n, t in ((3, 4), (2, 4), (2, 5)))
    compressibles, found = find_compressible_layers(model)
    batches = CalibrationBatches(model, data).some
    statistics = calibration_statistics(model, compressibles, batches, found)
    known = StudentBuilder(model, compressibles, statistics)
    with pytest.raises(ValueError, match=r"Received: MultiplyAdds\(1\)$") as error:
        solve(known, MultiplyAdds(1), with_balanced=False)
    solve(known, smallest_of(error), with_balanced=False)


@pytest.mark.parametrize("kind", COSTS)
def test_balanced_matrices_are_a_second_solution_within_the_budget(kind):
    limit = limits(kind, 0.4)
    first, *others = solve(builder(), kind(limit), with_balanced=True)
    kinds = [[new.factorization.kind for new in each.fitted] for each in (first, *others)]
    assert "low rank" in kinds[0]
    assert len(others) == 1
    assert "low rank" not in kinds[1]
    assert counted(others[0].model, kind) <= limit


def test_a_tolerance_has_one_solution():
    assert len(solve(builder(), RelativeError(0.2), with_balanced=True)) == 1


@pytest.mark.parametrize("budget", [Parameters(9), MultiplyAdds(9), RelativeError(0.2)])
def test_training_does_not_change_what_budgets_without_a_file_ask_for(budget):
    [solution] = solve(builder(), RelativeError(0.2), with_balanced=False)
    assert after_training(builder(), budget, solution) is solution
