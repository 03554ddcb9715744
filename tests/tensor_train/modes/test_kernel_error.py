import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix, complete_ranks
from dart_keras.tensor_train.modes import kernel_error as kernel_error_module
from dart_keras.tensor_train.modes.kernel_error import kernel_error, kernel_ranks
from tests.tt_matrices import mode_pairs, random_tt_matrix


def matrix_for(pair, seed=0):
    shape = [math.prod(modes) for modes in pair]
    return np.random.default_rng(seed).normal(size=shape)


@given(mode_pairs(), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_error_matches_tt_svd(pair, rank, seed):
    matrix = matrix_for(pair, seed)
    ranks = complete_ranks(rank, *pair)
    tt = TTMatrix.from_dense(matrix, *pair, ranks=ranks)
    expected = np.linalg.norm(matrix - tt.to_dense()) / np.linalg.norm(matrix)
    assert kernel_error(matrix, pair, ranks) == pytest.approx(expected, abs=1e-6)


@given(mode_pairs(), st.floats(0, 0.9))
def test_ranks_are_within_the_tolerance(pair, tolerance):
    matrix = matrix_for(pair)
    ranks, error = kernel_ranks(matrix, pair, tolerance)
    assert error <= tolerance + 1e-6
    assert kernel_error(matrix, pair, ranks) == pytest.approx(error, abs=1e-6)
    bounds = TTMatrix.from_dense(matrix, *pair, tolerance=tolerance).ranks
    if len(pair[0]) <= 2:
        assert ranks == bounds
    # The unused share of a bond is left to the others.
    assert all(rank <= bound for rank, bound in zip(ranks, bounds, strict=True))


def test_exact_ranks_are_found():
    tt = random_tt_matrix((4, 3, 5), (3, 6, 2), (1, 3, 4, 1))
    ranks, error = kernel_ranks(tt.to_dense(), ((4, 3, 5), (3, 6, 2)), 1e-5)
    assert ranks == (1, 3, 4, 1)
    assert error < 1e-6


def test_padding_is_zero():
    matrix = np.random.default_rng(0).normal(size=(7, 11))
    padded = np.pad(matrix, ((0, 1), (0, 1)))
    pair, ranks = ((2, 4), (4, 3)), (1, 3, 1)
    tt = TTMatrix.from_dense(padded, *pair, ranks=ranks)
    expected = np.linalg.norm(padded - tt.to_dense()) / np.linalg.norm(matrix)
    assert kernel_error(matrix, pair, ranks) == pytest.approx(expected, abs=1e-6)


def test_zero_matrix_has_no_error():
    assert kernel_error(np.zeros((4, 4)), ((2, 2), (2, 2)), (1, 1, 1)) == 0
    assert kernel_ranks(np.zeros((4, 4)), ((2, 2), (2, 2)), 0.1) == ((1, 1, 1), 0.0)


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_large_unfoldings_are_approximated_from_above(monkeypatch, decay):
    monkeypatch.setattr(kernel_error_module, "EXACT_SIDE", 64)
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(160, 160)))[0] for _ in range(2))
    values = np.arange(1, 161.0) ** -decay
    matrix = (left * values) @ right
    for rank in (2, 20):
        exact = np.linalg.norm(values[rank:]) / np.linalg.norm(values)
        error = kernel_error(matrix, ((160, 1), (1, 160)), (1, rank, 1))
        assert exact * (1 - 1e-9) <= error < exact * 1.01
