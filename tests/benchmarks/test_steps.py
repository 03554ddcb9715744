import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import steps
from benchmarks.steps import compiled_steps, keras_steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("float32")
OUTPUT_GRADIENT = RNG.normal(size=(6, 3)).astype("float32")


@pytest.fixture(autouse=True)
def _learning(monkeypatch):
    monkeypatch.setattr(steps, "LEARNING_RATE", 0.1)


def test_training_step_is_gradient_descent():
    weights = RNG.normal(size=(4, 3)).astype("float32")
    variable = tf.Variable(weights)
    made = compiled_steps(lambda x: tf.matmul(x, variable), [variable], X, OUTPUT_GRADIENT)
    np.testing.assert_allclose(made.forward(), X @ weights, rtol=1e-5)
    output, (input_gradient,) = made.training()
    np.testing.assert_allclose(output, X @ weights, rtol=1e-5)
    np.testing.assert_allclose(input_gradient, OUTPUT_GRADIENT @ weights.T, rtol=1e-4)
    np.testing.assert_allclose(variable.numpy(), weights - 0.1 * X.T @ OUTPUT_GRADIENT, rtol=1e-5)


def test_embedding_updates_only_rows_that_were_looked_up():
    layer = keras.layers.Embedding(9, 3)
    layer.build()
    before = keras.ops.convert_to_numpy(layer.embeddings)
    ids = np.array([2, 5, 2, 7, 7, 7], "int32")
    made = keras_steps(layer, ids, OUTPUT_GRADIENT)
    _, gradients = made.training()
    assert gradients == []
    moved = np.any(keras.ops.convert_to_numpy(layer.embeddings) != before, axis=1)
    assert np.flatnonzero(moved).tolist() == [2, 5, 7]


def test_layers_get_the_training_argument():
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x, training=None):
            seen.append(training)
            return x[:, :3]

    made = keras_steps(Spy(), X, OUTPUT_GRADIENT)
    made.forward()
    made.training()
    assert seen == [False, True]
