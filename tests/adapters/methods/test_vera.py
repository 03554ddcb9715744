import math

import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.methods.random_matrices import seeded_rows
from tests.adapters.methods.one_layer import (
    adapted_dense,
    adapted_table,
    change_of,
    count_trained,
    with_random_weights,
)


def expected_change(values, rows, columns, rank, seed, summed):
    a = ops.convert_to_numpy(seeded_rows(seed, "A", rank, rows)) * math.sqrt(2 / summed)
    b = ops.convert_to_numpy(seeded_rows(seed, "B", rank, columns)).T * math.sqrt(2 / rank)
    return (np.diag(values["b"]) @ b @ np.diag(values["d"]) @ a).T


def test_adds_the_product_of_the_paper():
    layer, adapter = adapted_dense(adapters.VeRA(rank=5, seed=3))
    values = with_random_weights(adapter)
    expected = expected_change(values, 12, 8, 5, 3, summed=12)
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-5)


def test_adds_it_to_a_table_with_the_scale_of_one_row():
    layer, adapter = adapted_table(adapters.VeRA(rank=5, seed=3))
    values = with_random_weights(adapter)
    expected = expected_change(values, 30, 8, 5, 3, summed=1)
    np.testing.assert_allclose(change_of(layer), expected, rtol=1e-4, atol=1e-5)


def test_starts_with_the_vectors_of_the_paper():
    _, adapter = adapted_dense(adapters.VeRA(rank=5))
    np.testing.assert_allclose(ops.convert_to_numpy(adapter.d), np.full(5, 0.1))
    assert np.array_equal(ops.convert_to_numpy(adapter.b), np.zeros(8))


def test_trains_rank_and_columns():
    layer, _ = adapted_dense(adapters.VeRA())
    assert count_trained(layer) == 256 + 8


def test_layers_of_the_same_shape_share_the_random_matrices():
    (_, one), (_, two) = (adapted_dense(adapters.VeRA(rank=5)) for _ in range(2))
    assert one.factors()[0] is two.factors()[0]


def test_rank_pattern_gives_a_layer_another_rank():
    layer, _ = adapted_dense(adapters.VeRA(rank=5, rank_pattern={"hid.*": 3}))
    assert count_trained(layer) == 3 + 8


def test_a_layer_of_low_precision_has_weights_of_float32():
    layer, adapter = adapted_dense(adapters.VeRA(rank=5), dtype="mixed_bfloat16")
    assert {weight.dtype for weight in adapter.weights} == {"float32"}
    assert ops.dtype(layer(np.zeros((2, 12), "float32"))) == "bfloat16"


@pytest.mark.parametrize("d_initial", [0, float("nan"), "0.1"])
def test_refuses_a_start_that_cannot_learn(d_initial):
    with pytest.raises(ValueError, match="Expected `d_initial` of `VeRA`"):
        adapters.VeRA(d_initial=d_initial)
