import keras
import numpy as np
import pytest
from keras import layers

from dart_keras.compression import compress
from dart_keras.compression.calibration import calibration_batches
from dart_keras.compression.choosing import solve_cost, solve_cost_balanced
from dart_keras.compression.distillation import BATCH_SIZE, Distillation
from dart_keras.compression.fitting import Fitter
from dart_keras.compression.parts import parts_of
from dart_keras.selection import Budget

from . import models

ROWS = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")


def network():
    stack = [layers.Dense(64, "relu", name="first"), layers.Dense(64, "relu", name="second")]
    model = keras.Sequential([keras.Input((64,)), *stack, layers.Dense(5, "softmax", name="last")])
    models.randomize(model)
    return model


def fitter_of(model):
    parts, others, _ = parts_of(model)
    return Fitter(model, parts, calibration_batches(model, ROWS), others)


def test_a_trial_leaves_the_weights_and_says_what_the_same_training_reaches():
    model = network()
    small, _ = compress(model, Budget(2500))
    weights = small.get_weights()
    # A training as short as a trial.
    distillation = Distillation(model, ROWS, epochs=2, batch_size=BATCH_SIZE)
    keras.utils.set_random_seed(0)
    rate, error = distillation.best_rate(small)
    for ours, before in zip(small.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, before)
    distillation.train(small, rate)
    # The order of the rows is another one.
    assert distillation.error(small) == pytest.approx(error, rel=0.3)


def test_the_rate_is_one_that_ends_close():
    model = network()
    small, _ = compress(model, Budget(2500))
    weights, distillation = small.get_weights(), Distillation(model, ROWS, 10, BATCH_SIZE)
    chosen, _ = distillation.best_rate(small)
    errors = {}
    for rate in (1e-5, chosen, 0.3):
        small.set_weights(weights)
        distillation.train(small, rate)
        errors[rate] = distillation.error(small)
    assert errors[chosen] == min(errors.values())


def test_balanced_trains_keep_to_the_same_limit():
    fitter = fitter_of(network())
    balanced = solve_cost_balanced(fitter, "parameters", 2500)
    assert balanced.model.count_params() <= 2500
    kinds = {new.form.kind for new in balanced.fitted}
    assert "tensor train" in kinds
    assert "low rank" not in kinds
    # Nothing else is there to be chosen, or nothing within the limit.
    assert solve_cost_balanced(fitter.without_low_rank(), "parameters", 2500) is None
    assert solve_cost_balanced(fitter, "parameters", 10) is None


def test_the_forms_are_those_that_a_short_training_brings_closest():
    model = network()
    fitter, distillation = fitter_of(model), Distillation(model, ROWS, 3, BATCH_SIZE)
    solutions = [
        solve_cost(fitter, "parameters", 2500),
        solve_cost_balanced(fitter, "parameters", 2500),
    ]
    errors = [distillation.best_rate(each.model)[1] for each in solutions]
    _, report = compress(model, Budget(2500), ROWS, recovery_epochs=3)
    chosen = [[new.form.ranks for new in each.fitted] for each in solutions]
    assert chosen[0] != chosen[1]
    # Not a matter of which order the rows came in.
    assert max(errors) > 1.2 * min(errors)
    assert [row.ranks for row in report.layers] == chosen[int(np.argmin(errors))]
