"""Training on two devices of one process matches training on one device."""

import numpy as np
import pytest

from dart_keras.distribution.replicas import as_on_chief, scope_of
from tests.callbacks.problem import make_model
from tests.processes import check_same, finish, here, results, start

NAMES = ("threshold", "calibrated", "gumbel", "size", "loss", "adapters")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    finish(start(folder, "mirrored", *NAMES))
    return results(folder)


@pytest.mark.parametrize("name", NAMES)
def test_two_replicas_match_one(seen, name):
    expected = here(name)
    sizes = expected["logs"]["parameters"]
    assert sizes[-1] < sizes[0] or (name == "loss" and sizes[1] > sizes[0])
    check_same(seen[name], expected)


def test_without_a_strategy_values_are_unchanged():
    model = make_model()
    structure = [(np.ones(2), None), 3]
    assert as_on_chief([model], structure) is structure
    with scope_of([model]) as scope:
        assert scope is None
