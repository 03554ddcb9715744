import numpy as np
import pytest
import scipy.linalg
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.methods.loldu import pivoted_factors
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (9, 9), (1, 5), (5, 1), (90, 70), (65, 80)])
def test_decomposes_as_scipy_does(shape):
    matrix = np.random.default_rng(3).normal(size=shape)
    permutation, lower, upper = scipy.linalg.lu(matrix)
    for rank in (1, min(shape) // 2 or 1, min(shape)):
        left, pivots, right = pivoted_factors(matrix, rank)
        np.testing.assert_allclose(left, (permutation @ lower)[:, :rank], atol=1e-10)
        np.testing.assert_allclose(pivots, np.diag(upper)[:rank], atol=1e-10)
        np.testing.assert_allclose(pivots[:, None] * right, upper[:rank], atol=1e-10)
        np.testing.assert_allclose(np.diag(right), np.ones(rank))


@pytest.mark.parametrize("rank_of_matrix", [0, 1, 3])
def test_decomposes_a_matrix_of_lower_rank(rank_of_matrix):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(7, rank_of_matrix)) @ rng.normal(size=(rank_of_matrix, 6))
    left, pivots, right = pivoted_factors(matrix, 6)
    assert np.count_nonzero(pivots) == rank_of_matrix
    np.testing.assert_allclose(left @ np.diag(pivots) @ right, matrix, atol=1e-10)
    assert np.max(np.abs(left)) <= 1


def test_a_column_of_zeros_leaves_the_other_pivots():
    matrix = np.random.default_rng(3).normal(size=(5, 5))
    matrix[:, 1] = 0
    left, pivots, right = pivoted_factors(matrix, 5)
    assert pivots[1] == 0
    assert np.all(np.isfinite(left))
    assert np.all(np.isfinite(right))


def test_adds_the_change_of_the_paper():
    layer, adapter = adapted_dense(adapters.LoLDU(rank=3, scale=0.5))
    values = with_random_weights(adapter)
    kernel = adapter.kernel.matrix_of(layer.base).T.astype("float64")
    permutation, lower, upper = scipy.linalg.lu(kernel)
    d = np.diag(upper)[:3]
    left, right = permutation @ lower[:, :3], upper[:3] / d[:, None]
    z = d + values["changes"]
    expected = left @ (np.diag(values["scale"] * z) - np.diag(0.5 * d)) @ right
    np.testing.assert_allclose(change_of(layer), expected.T, rtol=1e-3, atol=1e-4)


def test_adds_it_to_a_table_as_it_is():
    layer, adapter = adapted_table(adapters.LoLDU(rank=3))
    values = with_random_weights(adapter)
    permutation, lower, upper = scipy.linalg.lu(adapter.kernel.matrix_of(layer.base))
    d = np.diag(upper)[:3]
    left, right = permutation @ lower[:, :3], upper[:3] / d[:, None]
    expected = left @ np.diag(values["scale"] * (d + values["changes"]) - d) @ right
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-3, atol=1e-4)


def test_changes_nothing_at_first_whatever_the_scale():
    layer, _ = adapted_dense(adapters.LoLDU(scale=0.3))
    assert not np.any(change_of(layer))


def test_trains_one_number_a_pivot_and_the_scale():
    layer, _ = adapted_dense(adapters.LoLDU(rank=3))
    assert count_trained(layer) == 3 + 1


def test_trains_all_pivots_where_there_are_fewer():
    layer, _ = adapted_dense(adapters.LoLDU())
    assert count_trained(layer) == 8 + 1


def test_files_need_not_hold_the_factors():
    _, adapter = adapted_dense(adapters.LoLDU(rank=3))
    derived = {id(weight) for weight in adapter.derived_weights}
    own = [weight.name for weight in adapter.weights if id(weight) not in derived]
    assert own == ["changes", "scale"]
    assert ops.convert_to_numpy(adapter.pivots).all()


@pytest.mark.parametrize("scale", [0, -1, float("inf"), "1"])
def test_refuses_another_scale(scale):
    with pytest.raises(ValueError, match="Expected `scale` of `LoLDU` above 0"):
        adapters.LoLDU(scale=scale)
