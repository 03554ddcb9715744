import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.layers.from_dense import (
    check_dense,
    check_embedding,
    check_not_quantized,
    take_matrix,
)


def test_a_layer_takes_a_matrix_with_its_padding():
    layer = TTDense(5, 2, (3, 3), (2, 3))
    layer.build((None, 7))
    matrix = np.random.default_rng(0).normal(size=(7, 5))
    take_matrix(layer, matrix, None, None)
    np.testing.assert_allclose(layer.to_dense(), matrix, atol=1e-6)
    padded = layer.to_tt().to_dense()
    assert padded.shape == (9, 6)
    np.testing.assert_allclose(padded[7:], 0, atol=1e-6)
    np.testing.assert_allclose(padded[:, 5:], 0, atol=1e-6)


def test_only_built_twins_pass():
    dense, table = keras.layers.Dense(4), keras.layers.Embedding(4, 4)
    for check, layer in ((check_dense, dense), (check_embedding, table)):
        with pytest.raises(ValueError, match="Expected a built"):
            check(layer)
        layer.build((None, 4))
        check(layer)
        with pytest.raises(ValueError, match="Expected a built"):
            check(TTEmbedding(4, 4))


def test_quantized_weights_are_refused():
    dense = keras.layers.Dense(8)
    dense.build((None, 8))
    check_not_quantized(dense)
    dense.quantize("int8")
    with pytest.raises(ValueError, match="quantized to 'int8'"):
        check_not_quantized(dense)
