"""`TTEinsumDense` in the place of the projections of attention."""

import keras
import numpy as np
import pytest

import dart_keras as dk
from dart_keras.layers import TTEinsumDense
from dart_keras.private_apis import changing_state
from dart_keras.tensor_train.ranks import rank_limits

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("projection", ["query", "output"])
def test_inside_multi_head_attention(projection, tmp_path):
    inputs = keras.Input((6, 16))
    attention = keras.layers.MultiHeadAttention(4, 5, bias_initializer="normal")
    model = keras.Model(inputs, attention(inputs, inputs))
    x = RNG.normal(size=(3, 6, 16)).astype("float32")
    expected = model.predict(x, verbose=0)
    name = f"_{projection}_dense"
    dense = getattr(attention, name)
    layer = TTEinsumDense.from_dense(dense, rank_regularizer=dk.regularizers.NuclearNorm(0.01))
    with changing_state(attention):
        attention._tracker.untrack(dense)
        setattr(attention, name, layer)
    model.make_predict_function(force=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert [row.name for row in dk.summary(model).layers].count(layer.name) == 1
    [row] = [row for row in dk.summary(model).layers if row.name == layer.name]
    assert (row.type, row.dense_parameters) == ("TTEinsumDense", dense.count_params())

    model.compile("adam", "mse")
    discretization = dk.callbacks.RankDiscretization(dk.budgets.Parameters(110), epoch=1)
    model.fit(x, x, epochs=2, verbose=0, callbacks=[discretization])
    assert layer.ranks_fixed
    assert layer.ranks[1] < rank_limits(layer.input_modes, layer.output_modes)[1]
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    trained = model.predict(x, verbose=0)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    model.load_weights(path)
    np.testing.assert_allclose(model.predict(x, verbose=0), trained, atol=1e-6)


def test_saved_model_is_equal(tmp_path):
    inputs = keras.Input((6, 12))
    outputs = TTEinsumDense("abc,cde->abde", (None, 2, 5), 3, bias_axes="de")(inputs)
    outputs = TTEinsumDense("abcd,cde->abe", (None, 7), 3, activation="relu")(outputs)
    model = keras.Model(inputs, outputs)
    model.layers[1].truncate(2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].ranks == (1, 2, 1)
    x = RNG.normal(size=(4, 6, 12)).astype("float32")
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-6)


def test_converted_to_litert():
    inputs = keras.Input((6, 12))
    heads = TTEinsumDense(
        "abc,cde->abde", (None, 2, 4), 3, (12, 1), (1, 8), bias_axes="de", bias_initializer="normal"
    )
    merged = TTEinsumDense("abcd,cde->abe", (None, 7), 3, activation="relu")
    model = keras.Model(inputs, merged(heads(inputs)))
    artifact = dk.deployment.convert(model)
    assert "BATCH_MATMUL" not in artifact.operators
    # The bias is fused with the product of the matrices.
    assert "ADD" not in artifact.operators
    x = RNG.normal(size=(8, 6, 12)).astype("float32")
    np.testing.assert_allclose(artifact.predict(x), model(x), atol=1e-5)
