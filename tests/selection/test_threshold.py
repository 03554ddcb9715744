import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.budgets import RelativeError
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.selection import Threshold
from dart_keras.selection.threshold import ErrorTolerance
from tests.selection.models import select

SHARES = st.floats(0.01, 0.99)


def layers():
    dense, embedding = TTDense(24, (5, 6), (2, 3, 4), (4, 3, 2)), TTEmbedding(20, 6, 5)
    dense.build((None, 24))
    embedding.build()
    return [dense, embedding]


def with_singular_values(values):
    """A layer whose only bond has the given singular values."""
    layer = TTDense(9, len(values), (3, 3), (3, 3))
    layer.build((None, 9))
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(9, len(values))))[0] for _ in range(2))
    layer.cores[0].assign((u * values).reshape(1, 3, 3, -1))
    layer.cores[1].assign(v.T.reshape(-1, 3, 3, 1))
    return layer


@given(SHARES)
def test_threshold_keeps_what_is_above_the_share_of_the_largest(delta):
    found = layers()
    for layer, ranks in zip(found, select(Threshold(delta), *found), strict=True):
        assert ranks[0] == ranks[-1] == 1
        for rank, values in zip(ranks[1:-1], layer.bond_singular_values(), strict=True):
            assert values[rank - 1] > delta * values[0]
            assert rank == len(values) or values[rank] <= delta * values[0]


def test_threshold_by_example():
    layer = with_singular_values([8.0, 4.0, 1.0, 0.5])
    for delta, rank in ((0.6, 1), (0.4, 2), (0.1, 3), (0.01, 4)):
        assert select(Threshold(delta), layer) == [(1, rank, 1)]


def test_threshold_finds_no_rank_in_a_matrix_of_zeros():
    # Which is for the caller to refuse: rank one would be made up.
    assert select(Threshold(0.1), with_singular_values([0.0, 0.0])) == [(1, 0, 1)]


@given(SHARES)
def test_the_error_stays_within_the_tolerance_after_truncation(tolerance):
    found = layers()
    for layer, ranks in zip(
        found, select(ErrorTolerance(RelativeError(tolerance)), *found), strict=True
    ):
        before = layer.to_dense()
        error = layer.truncate(ranks)
        assert layer.ranks == ranks
        assert error <= tolerance + 1e-6
        distance = np.linalg.norm(layer.to_dense() - before) / np.linalg.norm(before)
        assert distance <= tolerance + 1e-5


def test_the_tolerance_by_example():
    layer = with_singular_values([4.0, 2.0, 2.0, 1.0])  # of norm 5
    for tolerance, rank in ((0.59, 2), (0.61, 1), (0.21, 3), (0.19, 4)):
        expected = (1, rank, 1)
        assert select(ErrorTolerance(RelativeError(tolerance)), layer) == [expected]


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"Expected `delta` between 0 and 1\.") as error:
        Threshold(share)
    assert str(error.value).endswith(f"Received: delta={share!r}")
