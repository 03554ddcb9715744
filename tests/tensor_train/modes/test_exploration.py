from functools import partial

import numpy as np
import pytest

from dart_keras.devices import find_device
from dart_keras.tensor_train.modes import exploration
from dart_keras.tensor_train.modes.candidates import all_mode_pairs, mode_tuples
from dart_keras.tensor_train.modes.costs import batch_ranks_within, batch_uniform_ranks
from dart_keras.tensor_train.modes.exploration import Estimator, explore

RULES = [partial(batch_uniform_ranks, rank=8), partial(batch_ranks_within, max_parameters=8000)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("target", ["cpu", "microcontroller"])
def test_beam_search_is_close_to_the_exhaustive_search(monkeypatch, rule, target):
    estimate = Estimator(rule, 16, find_device(target), (0, np.inf))
    _, everything = explore((360,), (240,), 3, estimate)
    np.testing.assert_array_equal(
        everything.min(axis=0), estimate(*all_mode_pairs((360,), (240,), 3)).min(axis=1)
    )
    monkeypatch.setattr(exploration, "EXHAUSTIVE", 0)
    monkeypatch.setattr(exploration, "SAMPLE", 300)
    _, beam = explore((360,), (240,), 3, estimate)
    np.testing.assert_allclose(beam.min(axis=0), everything.min(axis=0), rtol=0.05)


def test_candidates_beyond_the_budget_are_excluded():
    estimate = Estimator(RULES[0], 1, find_device("cpu"), (500, 1000))
    found, costs = explore((48,), (36,), 2, estimate)
    assert found
    assert np.all((costs[:, 0] >= 500) & (costs[:, 0] <= 1000))
    nothing = Estimator(RULES[0], 1, find_device("cpu"), (0, 1))
    assert explore((48,), (36,), 2, nothing)[0] == []


def test_too_many_cores_give_no_candidates():
    estimate = Estimator(RULES[0], 1, find_device("cpu"), (0, np.inf))
    assert explore((7,), (1,), 3, estimate)[0] == []


def test_costs_do_not_depend_on_the_chunk_size(monkeypatch):
    estimate = Estimator(RULES[1], 4, find_device("cpu"), (0, np.inf))
    pairs = all_mode_pairs((48,), (36,), 3)
    together = estimate(*pairs)
    monkeypatch.setattr(exploration, "CHUNK", 100)
    np.testing.assert_array_equal(estimate(*pairs), together)
    assert len(mode_tuples(*pairs)) > 300
