import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import automatic_modes, balanced_modes
from dart_keras.tensor_train.modes import check_modes, complete_modes, factorizations, is_integer

DIMS = st.integers(1, 600)


def prime_exponents(dim):
    exponents = Counter()
    divisor = 2
    while dim > 1:
        while dim % divisor == 0:
            exponents[divisor] += 1
            dim //= divisor
        divisor += 1
    return exponents


@given(DIMS, st.integers(1, 4))
def test_factorizations_are_all_of_them(dim, length):
    found = list(factorizations(dim, length))
    assert all(math.prod(modes) == dim and len(modes) == length for modes in found)
    # Each prime's exponent is shared out over the places: stars and bars.
    expected = math.prod(math.comb(e + length - 1, e) for e in prime_exponents(dim).values())
    assert len(set(found)) == len(found) == expected


@given(st.integers(1, 60), st.integers(1, 3))
def test_balanced_modes_have_the_smallest_sum_of_all(dim, length):
    modes = balanced_modes(dim, length)
    candidates = itertools.product(range(1, dim + 1), repeat=length)
    best = min(sum(candidate) for candidate in candidates if math.prod(candidate) == dim)
    assert math.prod(modes) == dim
    assert sum(modes) == best
    assert list(modes) == sorted(modes)


@given(DIMS, DIMS)
def test_automatic_modes_cost_the_fewest_parameters_a_rank(n, m):
    (n1, n2), (m1, m2) = automatic_modes(n, m)
    assert (n1 * n2, m1 * m2) == (n, m)
    best = min(
        a * b + n // a * (m // b)
        for a in range(1, n + 1)
        if n % a == 0
        for b in range(1, m + 1)
        if m % b == 0
    )
    assert n1 * m1 + n2 * m2 == best


@pytest.mark.parametrize("prime", [1031, 7919])
def test_a_prime_dimension_becomes_a_low_rank_factorization(prime):
    (n1, n2), (m1, m2) = automatic_modes(prime, 1024)
    assert {n1, n2} == {prime, 1}
    assert n1 * m1 + n2 * m2 == prime + 1024


def test_a_dimension_of_one():
    assert automatic_modes(1, 1) == ((1, 1), (1, 1))
    assert balanced_modes(1, 3) == (1, 1, 1)


@given(DIMS, DIMS, st.integers(1, 3))
def test_modes_of_the_other_side_are_chosen_to_fit(n, m, length):
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


@pytest.mark.parametrize(
    "modes", [(0, 5), (-2, -5), (2.0, 5), ("2", 5), "25", (), 10, (True, 10), np.array([2, 5])]
)
@pytest.mark.parametrize("side", ["input_modes", "output_modes"])
def test_modes_that_are_no_positive_integers_are_refused(modes, side):
    sides = {"input_modes": (2, 5), "output_modes": (2, 5), side: modes}
    message = f"`{side}` to be a list or tuple of positive integers. Received: {side}="
    with pytest.raises(ValueError, match=message):
        complete_modes(10, 10, **sides)


@pytest.mark.parametrize("side", ["input_modes", "output_modes"])
def test_modes_of_another_product_are_refused(side):
    sides = {"input_modes": None, "output_modes": None, side: (2, 4)}
    with pytest.raises(ValueError, match=r"is the dimension 10. .*\(2, 4\), whose product is 8$"):
        complete_modes(10, 10, **sides)


def test_modes_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match=r"same length.*\(2, 5\), output_modes=\(1, 2, 5\)$"):
        complete_modes(10, 10, (2, 5), (1, 2, 5))


def test_numpy_integers_become_python_integers():
    modes = check_modes("input_modes", [np.int64(2), np.int32(5)], 10)
    assert modes == (2, 5)
    assert all(type(mode) is int for mode in modes)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, True), (np.int8(3), True), (True, False), (3.0, False), ("3", False), (None, False)],
)
def test_is_integer(value, expected):
    assert is_integer(value) is expected
