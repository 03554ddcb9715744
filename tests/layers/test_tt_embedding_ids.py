"""Ids that a `TTEmbedding` accepts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers import TTEmbedding


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "float32"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_ids_of_any_dtype_keep_their_values(dtype, policy):
    # The vocabulary is so large that half precision would round ids.
    layer = TTEmbedding(5000, 4, 3, dtype=policy)
    layer.build()
    largest = 100 if dtype.endswith("8") else 4999
    ids = np.array([[0, 1, largest], [largest - 1, 7, 7]], dtype)
    expected = layer.to_dense()[ids.astype("int64")]
    outputs = layer(ids)
    assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
    np.testing.assert_allclose(np.asarray(outputs, "float32"), expected, atol=2e-3)
    model = keras.Sequential([keras.Input((3,), dtype=dtype), layer])
    np.testing.assert_allclose(model.predict(ids, verbose=0), expected, atol=2e-3)


def test_ids_beyond_float32_precision():
    layer = TTEmbedding(2**25, 2, 2, input_modes=(2**12, 2**13))
    layer.build()
    tt = layer.to_tt()
    ids = np.array([0, 2**24, 2**24 + 1, 2**25 - 1], "int64")
    first, second = tt.cores
    rows = [
        np.einsum("amb,bnc->mn", first[:, i // 2**13], second[:, i % 2**13]).ravel() for i in ids
    ]
    np.testing.assert_allclose(layer(ids), rows, rtol=1e-4, atol=1e-7)
    assert np.any(np.asarray(layer(ids[1:2])) != np.asarray(layer(ids[2:3])))


@pytest.mark.parametrize("ids", [[[20, 0]], [[0, -1]]])
def test_ids_out_of_range_are_refused_in_all_modes(ids):
    ids = np.array(ids)
    layer = TTEmbedding(20, 4, 2, name="table")
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    model.compile("sgd", "mse", jit_compile=False)
    targets = np.zeros((1, 2, 4))
    for run in (lambda: layer(ids), lambda: layer(ids.astype("float32")), lambda: model(ids)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
            run()
    # In a graph, the lookup itself may be the first to see it.
    for run in (
        lambda: model.predict(ids, verbose=0),
        lambda: model.fit(ids, targets, verbose=0),
        lambda: model.evaluate(ids, targets, verbose=0),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
            run()


def test_ids_out_of_range_are_refused_by_fit_with_default_compile():
    model = keras.Sequential([keras.Input((2,), dtype="int32"), TTEmbedding(20, 4, 2)])
    model.compile("sgd", "mse")
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[0, 20\)"):
        model.fit(np.array([[20, 0]]), np.zeros((1, 2, 4)), verbose=0)
