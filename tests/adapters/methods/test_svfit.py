import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)


@pytest.mark.parametrize("make", [adapted_dense, adapted_table])
def test_changes_the_largest_singular_values(make):
    layer, adapter = make(adapters.SVFit(rank=3))
    changes = with_random_weights(adapter)["changes"]
    matrix = adapter.kernel.matrix_of(layer.base)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    values[:3] += changes
    expected = left @ np.diag(values) @ right
    np.testing.assert_allclose(matrix + change_of(layer), expected, rtol=1e-4, atol=1e-5)


def test_trains_one_number_a_singular_value():
    layer, _ = adapted_dense(adapters.SVFit(rank=3))
    assert count_trained(layer) == 3


def test_trains_all_where_there_are_fewer():
    layer, _ = adapted_dense(adapters.SVFit())
    assert count_trained(layer) == 8


def test_files_need_not_hold_the_singular_vectors():
    _, adapter = adapted_dense(adapters.SVFit(rank=3))
    assert [tuple(weight.shape) for weight in adapter.derived_weights] == [(12, 3), (3, 8)]
    assert not np.allclose(ops.convert_to_numpy(adapter.left), 0)


def test_takes_the_singular_vectors_of_a_quantized_layer():
    layer, adapter = adapted_dense(adapters.SVFit(rank=3))
    before = ops.convert_to_numpy(adapter.left)
    layer.base.quantize("int8")
    adapter.attach(layer.base)
    after = ops.convert_to_numpy(adapter.left)
    np.testing.assert_allclose(np.abs(after), np.abs(before), atol=0.05)
    assert not np.array_equal(after, before)
