import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train import TTMatrix
from dart_keras.tensor_train.core_bases import balanced, rotated


def make_cores(seed, ranks=(1, 3, 4, 1)):
    rng = np.random.default_rng(seed)
    modes = [(3, 4), (2, 3), (5, 2)]
    return [
        rng.normal(size=(left, n, m, right)) * 10.0 ** rng.integers(-3, 4, size=right)
        for left, (n, m), right in zip(ranks, modes, ranks[1:], strict=False)
    ]


@pytest.mark.parametrize("transform", [balanced, rotated])
@given(st.integers(0, 2**32 - 1))
def test_matrix_does_not_change(transform, seed):
    cores = make_cores(seed)
    changed = transform(cores)
    assert [core.shape for core in changed] == [core.shape for core in cores]
    expected = TTMatrix(tuple(cores)).to_dense()
    received = TTMatrix(tuple(changed)).to_dense()
    np.testing.assert_allclose(received, expected, atol=1e-9 * np.abs(expected).max())


@given(st.integers(0, 2**32 - 1))
def test_both_sides_of_a_balanced_bond_have_equal_gram_matrices(seed):
    cores = balanced(make_cores(seed)[:1] + make_cores(seed, (1, 3, 1, 1))[1:2])
    left, right = cores[0].reshape(-1, 3), cores[1].reshape(3, -1)
    grams = left.T @ left, right @ right.T
    values = TTMatrix(tuple(cores)).bond_singular_values()[0]
    for gram in grams:
        np.testing.assert_allclose(gram, np.diag(values), atol=1e-9 * values[0])


@given(st.integers(0, 2**32 - 1))
def test_rotation_keeps_the_norm_of_a_core_and_mixes_its_columns(seed):
    cores = make_cores(seed, (1, 3, 1, 1))[:2]
    before, after = (transform(cores)[0].reshape(-1, 3) for transform in (balanced, rotated))
    np.testing.assert_allclose(np.linalg.norm(after), np.linalg.norm(before))
    assert not np.allclose(after, before)


def test_zeros_and_too_high_ranks():
    zeros = [np.zeros((1, 2, 2, 3)), np.zeros((3, 2, 2, 1))]
    assert not TTMatrix(tuple(rotated(zeros))).to_dense().any()
    shrunk = balanced([np.ones((1, 1, 2, 3)), np.ones((3, 2, 2, 1))])
    assert [core.shape for core in shrunk] == [(1, 1, 2, 2), (2, 2, 2, 1)]
    np.testing.assert_allclose(TTMatrix(tuple(shrunk)).to_dense(), 3 * np.ones((2, 4)))
