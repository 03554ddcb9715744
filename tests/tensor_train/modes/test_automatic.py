import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import automatic_modes, balanced_modes
from dart_keras.tensor_train.modes import complete_modes

DIMS = st.integers(1, 600)


@given(DIMS, DIMS)
def test_automatic_modes_have_the_fewest_parameters_per_rank(n, m):
    (n1, n2), (m1, m2) = automatic_modes(n, m)
    assert (n1 * n2, m1 * m2) == (n, m)
    costs = {
        (a, b): (a * b + n // a * (m // b), a + n // a + b + m // b)
        for a in range(1, n + 1)
        if n % a == 0
        for b in range(1, m + 1)
        if m % b == 0
    }
    assert costs[n1, m1] == min(costs.values())
    assert n1 >= n2


@pytest.mark.parametrize("prime", [1031, 7919])
def test_prime_dimension_gives_a_low_rank_factorization(prime):
    (n1, n2), (m1, m2) = automatic_modes(prime, 1024)
    assert {n1, n2} == {prime, 1}
    assert n1 * m1 + n2 * m2 == prime + 1024


# Weights that were saved without their modes need these.
@pytest.mark.parametrize(
    ("dims", "modes"),
    [
        ((784, 1024), ((28, 28), (32, 32))),
        ((16, 8), ((4, 4), (2, 4))),
        ((640, 128), ((32, 20), (8, 16))),
        ((30522, 768), ((5087, 6), (1, 768))),
        ((4096, 1024), ((64, 64), (32, 32))),
    ],
)
def test_automatic_modes_are_stable(dims, modes):
    assert automatic_modes(*dims) == modes


def test_dimension_of_one():
    assert automatic_modes(1, 1) == ((1, 1), (1, 1))
    assert balanced_modes(1, 3) == (1, 1, 1)


@given(DIMS, DIMS, st.integers(1, 3))
def test_modes_of_the_other_side_are_chosen_to_match(n, m, length):
    given_inputs = balanced_modes(n, length)
    given_outputs = balanced_modes(m, length)
    for modes in (
        complete_modes(n, m, given_inputs, None),
        complete_modes(n, m, None, given_outputs),
    ):
        inputs, outputs = modes
        assert (math.prod(inputs), math.prod(outputs)) == (n, m)
        assert len(inputs) == len(outputs) == length
    assert complete_modes(n, m, given_inputs, None)[0] == given_inputs
    assert complete_modes(n, m, None, given_outputs)[1] == given_outputs
    assert complete_modes(n, m, None, None) == automatic_modes(n, m)
