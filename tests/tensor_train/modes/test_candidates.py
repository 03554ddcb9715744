import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.modes import factorizations
from dart_keras.tensor_train.modes.candidates import (
    all_mode_pairs,
    count_pairs,
    mode_tuples,
    preference,
    sampled_mode_pairs,
    with_neighbours,
)

SMALL = st.integers(1, 24)


def mirrored(shape):
    return shape[0][::-1], shape[1][::-1]


def every_shape(n, m, cores):
    pairs = itertools.product(factorizations(n, cores), factorizations(m, cores))
    # With three cores and more, none has modes 1 and 1.
    return {
        (inputs, outputs)
        for inputs, outputs in pairs
        if cores == 2 or all(i * o > 1 for i, o in zip(inputs, outputs, strict=True))
    }


@given(SMALL, SMALL, st.integers(2, 4))
def test_all_mode_pairs_without_mirror_images(n, m, cores):
    found = mode_tuples(*all_mode_pairs((n,), (m,), cores))
    assert len(set(found)) == len(found)
    assert {*found, *map(mirrored, found)} == every_shape(n, m, cores)
    assert all(shape == mirrored(shape) or mirrored(shape) not in found for shape in found)
    assert len(found) <= count_pairs((n,), (m,), cores)


def test_padded_dimensions_are_combined():
    found = mode_tuples(*all_mode_pairs((17, 18), (19, 20), 2))
    products = {(math.prod(inputs), math.prod(outputs)) for inputs, outputs in found}
    assert products == {(17, 19), (17, 20), (18, 19), (18, 20)}


def test_samples_are_reproducible_subsets():
    everything = set(mode_tuples(*all_mode_pairs((60,), (48,), 3)))
    sample = mode_tuples(*sampled_mode_pairs((60,), (48,), 3, 200))
    assert set(sample) <= everything
    assert len(set(sample)) == len(sample) > 100
    assert sample == mode_tuples(*sampled_mode_pairs((60,), (48,), 3, 200))


def test_neighbours_are_one_prime_away():
    near = mode_tuples(*with_neighbours(np.array([[12], [1]]), np.array([[5], [2]])))
    assert {*near, *map(mirrored, near)} >= {
        ((12, 1), (5, 2)),
        ((6, 2), (5, 2)),
        ((4, 3), (5, 2)),
        ((12, 1), (1, 10)),
        ((12, 1), (10, 1)),
    }
    assert len(near) == 5


@given(st.integers(2, 60), st.integers(2, 60), st.integers(2, 3))
def test_moving_primes_reaches_every_candidate(n, m, cores):
    everything = all_mode_pairs((n,), (m,), cores)
    # Cores of modes 1 and 1 may block the path.
    if cores == 3 and everything[0].shape[1] < 10:
        return
    reached = tuple(modes[:, :1] for modes in everything)
    count = 0
    while reached[0].shape[1] > count:
        count = reached[0].shape[1]
        reached = with_neighbours(*reached)
    assert count == everything[0].shape[1]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (((6, 6), (6, 6)), ((3, 4, 3), (3, 4, 3))),
        (((36, 1), (1, 36)), ((6, 7), (6, 6))),
        (((6, 6), (6, 6)), ((9, 4), (6, 6))),
        (((9, 4), (6, 6)), ((4, 9), (6, 6))),
    ],
)
def test_simpler_modes_are_preferred(better, worse):
    assert preference(better, 36, 36) < preference(worse, 36, 36)
