import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import dart_keras as dk
from examples.transformer.dense_initialization import identity_cores, initialize_as_dense

SIDES = st.integers(1, 12)


@settings(max_examples=10, deadline=None)
@given(rows=SIDES, columns=SIDES, less=st.integers(0, 1))
def test_one_core_is_an_identity_and_the_other_the_matrix(rows, columns, less):
    rank = max(1, min(rows, columns) - less)
    layer = dk.layers.TTDense(columns, rank, input_modes=(rows, 1), output_modes=(1, columns))
    inputs = keras.Input((rows,))
    model = keras.Model(inputs, layer(inputs))
    before = layer.to_dense()
    initialize_as_dense(layer)
    np.testing.assert_allclose(layer.to_dense(), before, atol=1e-6)
    identities = [
        core.path
        for core in layer.cores
        if np.array_equal(np.reshape(keras.ops.convert_to_numpy(core), (rank, -1)), np.eye(rank))
    ]
    if rank < min(rows, columns):
        assert identities == identity_cores(model) == []
    else:
        assert set(identity_cores(model)) <= set(identities)
        assert len(identity_cores(model)) == 1


def test_training_matches_a_dense_layer():
    layer = dk.layers.TTDense(9, 6, input_modes=(6, 1), output_modes=(1, 9))
    tt_model = keras.Sequential([keras.Input((6,)), layer])
    initialize_as_dense(layer)
    dense = keras.Sequential([keras.Input((6,)), keras.layers.Dense(9)])
    dense.layers[0].set_weights([layer.to_dense(), np.zeros(9)])
    [identity] = identity_cores(tt_model)
    adam = keras.optimizers.Adam(0.1)
    frozen = keras.optimizers.SGD(0.0)
    tt_model.compile(
        keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(adam, {identity: frozen})),
        "mse",
    )
    dense.compile(keras.optimizers.Adam(0.1), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 6)), rng.normal(size=(32, 9))
    before = layer.to_dense()
    for model in (tt_model, dense):
        model.fit(x, y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(layer.to_dense(), dense.layers[0].get_weights()[0], atol=1e-5)
    assert np.max(np.abs(layer.to_dense() - before)) > 0.2
