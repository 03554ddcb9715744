import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.distillation.trainer import Distillation
from dart_keras.compression.search.balanced import solve_balanced
from dart_keras.compression.search.model_costs import choose, cost_of, parameter_costs
from dart_keras.compression.search.solution import solve_cost
from tests.compression import models
from tests.compression.search.problem import builder_of

ROWS = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")


def network():
    stack = [layers.Dense(64, "relu", name="first"), layers.Dense(64, "relu", name="second")]
    model = keras.Sequential([keras.Input((64,)), *stack, layers.Dense(5, "softmax", name="last")])
    models.randomize(model)
    return model


def rows_for(model):
    return CalibrationBatches(model, ROWS, every_row=True)


def test_the_rate_is_one_that_ends_close_and_looking_for_it_leaves_the_weights():
    model = network()
    small, _ = compress(model, Parameters(2500))
    weights, distillation = small.get_weights(), Distillation(model, rows_for(model), 10)
    chosen = distillation.best_rate(small)
    for ours, before in zip(small.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, before)
    errors = {}
    for rate in (1e-5, chosen, 0.3):
        small.set_weights(weights)
        distillation.train(small, rate)
        errors[rate] = distillation.error(small)
    assert errors[chosen] == min(errors.values())


@pytest.mark.parametrize(("batch_size", "steps"), [(32, 8), (100, 3)])
def test_steps_take_so_many_rows(batch_size, steps, monkeypatch):
    counted = []
    fit = keras.Model.fit
    monkeypatch.setattr(
        keras.Model, "fit", lambda *args, **named: counted.append(fit(*args, **named).params)
    )
    model = network()
    Distillation(model, rows_for(model), 1, batch_size).train(
        compress(model, Parameters(2500))[0], 1e-3
    )
    assert [params["steps"] for params in counted] == [steps]


def test_balanced_tt_matrices_keep_to_the_same_limit():
    builder = builder_of(network(), ROWS)
    costs = parameter_costs(builder)
    factorizations = choose(builder, costs, 1150)
    balanced = solve_balanced(builder, costs, 1150, factorizations)
    assert balanced.model.count_params() <= 1150
    for factorization, new in zip(factorizations, balanced.fitted, strict=True):
        assert (
            new.factorization.kind == "TT matrix"
            if factorization.kind == "low rank"
            else new.factorization == factorization
        )
    first, second, last = (new.factorization for new in balanced.fitted)
    assert first.ranks == second.ranks
    # The next rank is too much, as the cores of both TT matrices have 8 x 8 rows and columns.
    assert balanced.model.count_params() + 2 * (8 * 8 + 8 * 8) > 1150
    assert first.ranks[1] >= last.ranks[1] > 1
    # Nothing is to be balanced, or not within the limit.
    again = [new.factorization for new in balanced.fitted]
    assert solve_balanced(builder, costs, 1150, again) is None
    assert solve_balanced(builder, costs, 10, factorizations) is None


def test_small_layers_stay_whole_beside_balanced_tt_matrices_where_they_fit():
    stack = [layers.Dense(256, "relu"), layers.Dense(256, "relu"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((64,)), *stack])
    builder = builder_of(model, ROWS)
    costs = parameter_costs(builder)
    last = builder.compressibles[-1].dense
    assert last.parameters < 0.01 * model.count_params()
    low = [
        next(each for each in options if each.kind == "low rank")
        for options in builder.factorizations
    ]
    room = cost_of(builder, costs, [*low[:2], last]) + 1000
    balanced = solve_balanced(builder, costs, room, low)
    assert [new.factorization.kind for new in balanced.fitted] == ["TT matrix"] * 2 + ["dense"]
    tight = solve_balanced(builder, costs, costs.smallest, low)
    assert [new.factorization.kind for new in tight.fitted] == ["TT matrix"] * 3


def test_the_closer_of_the_two_is_taken(one_rate):
    model = network()
    builder, distillation = builder_of(model, ROWS), Distillation(model, rows_for(model), 3)
    costs = parameter_costs(builder)
    low_rank = solve_cost(builder, costs, 2500)
    factorizations = [new.factorization for new in low_rank.fitted]
    solutions = [low_rank, solve_balanced(builder, costs, 2500, factorizations)]
    ranks = [[new.factorization.ranks for new in each.fitted] for each in solutions]
    assert ranks[0] != ranks[1]
    errors = []
    for each in solutions:
        distillation.train(each.model, distillation.best_rate(each.model))
        errors.append(distillation.error(each.model))
    # Not a matter of which order the rows came in.
    assert max(errors) > 1.2 * min(errors)
    _, report = compress(model, Parameters(2500), ROWS, recovery_epochs=3)
    assert [row.ranks for row in report.layers] == ranks[int(np.argmin(errors))]
