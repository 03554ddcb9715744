import numpy as np
from hypothesis import given

from dart_keras.tensor_train.canonical import left_factors, right_factors
from tests.tt_matrices import tt_matrices


def product(cores, left, right):
    """Return the product of cores, as a tensor (left rank, all modes, right rank)."""
    result = np.eye(left).reshape(left, 1, left)
    for core in cores:
        result = np.tensordot(result, core, 1).reshape(left, -1, core.shape[3])
    return result.reshape(left, -1, right)


@given(tt_matrices())
def test_left_factors_have_the_gram_matrix_of_the_left_cores(tt):
    factors = left_factors(tt.cores)
    assert len(factors) == len(tt.cores) - 1
    for bond, factor in enumerate(factors, start=1):
        rank = tt.ranks[bond]
        left = product(tt.cores[:bond], 1, rank)[0]
        assert factor.shape == (min(factor.shape[0], rank), rank)
        np.testing.assert_allclose(
            factor.T @ factor, left.T @ left, atol=1e-9 * np.linalg.norm(left) ** 2
        )


@given(tt_matrices())
def test_right_factors_have_the_gram_matrix_of_the_right_cores(tt):
    factors = right_factors(tt.cores)
    assert len(factors) == len(tt.cores) - 1
    for bond, factor in enumerate(factors, start=1):
        rank = tt.ranks[bond]
        right = product(tt.cores[bond:], rank, 1)[:, :, 0]
        assert factor.shape == (rank, min(factor.shape[1], rank))
        np.testing.assert_allclose(
            factor @ factor.T, right @ right.T, atol=1e-9 * np.linalg.norm(right) ** 2
        )


def test_factors_are_computed_in_float64():
    # In float32 the small singular value would be lost.
    core = np.array([[1.0, 1.0], [0.0, 1e-6]], np.float32).reshape(1, 2, 1, 2)
    [factor] = left_factors([core, core.reshape(2, 2, 1, 1)])
    small = np.linalg.svd(factor, compute_uv=False)[-1]
    np.testing.assert_allclose(small, 1e-6 / np.sqrt(2), rtol=1e-6)
