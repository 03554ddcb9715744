from functools import partial

import numpy as np
import pytest

from dart_keras.devices import find_device
from dart_keras.tensor_train.modes import exploration
from dart_keras.tensor_train.modes.candidates import all_trains, shapes
from dart_keras.tensor_train.modes.costs import batch_ranks_within, batch_uniform_ranks
from dart_keras.tensor_train.modes.exploration import Estimator, explore

RULES = [partial(batch_uniform_ranks, rank=8), partial(batch_ranks_within, max_parameters=8000)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("target", ["cpu", "microcontroller"])
def test_a_beam_comes_close_to_what_all_trains_have(monkeypatch, rule, target):
    estimate = Estimator(rule, 16, find_device(target), (0, np.inf))
    _, everything = explore((360,), (240,), 3, estimate)
    np.testing.assert_array_equal(
        everything.min(axis=0), estimate(*all_trains((360,), (240,), 3)).min(axis=1)
    )
    monkeypatch.setattr(exploration, "EXHAUSTIVE", 0)
    monkeypatch.setattr(exploration, "SAMPLE", 300)
    _, beam = explore((360,), (240,), 3, estimate)
    np.testing.assert_allclose(beam.min(axis=0), everything.min(axis=0), rtol=0.05)


def test_trains_out_of_the_budget_are_left_out():
    estimate = Estimator(RULES[0], 1, find_device("cpu"), (500, 1000))
    found, costs = explore((48,), (36,), 2, estimate)
    assert found
    assert np.all((costs[:, 0] >= 500) & (costs[:, 0] <= 1000))
    nothing = Estimator(RULES[0], 1, find_device("cpu"), (0, 1))
    assert explore((48,), (36,), 2, nothing)[0] == []


def test_a_number_of_cores_that_cannot_be_had():
    estimate = Estimator(RULES[0], 1, find_device("cpu"), (0, np.inf))
    assert explore((7,), (1,), 3, estimate)[0] == []


def test_costs_do_not_depend_on_how_many_trains_are_estimated(monkeypatch):
    estimate = Estimator(RULES[1], 4, find_device("cpu"), (0, np.inf))
    trains = all_trains((48,), (36,), 3)
    together = estimate(*trains)
    monkeypatch.setattr(exploration, "CHUNK", 100)
    np.testing.assert_array_equal(estimate(*trains), together)
    assert len(shapes(*trains)) > 300
