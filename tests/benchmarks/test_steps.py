import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import steps
from benchmarks.steps import compiled_steps, keras_steps

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("float32")
FLOW = RNG.normal(size=(6, 3)).astype("float32")


@pytest.fixture(autouse=True)
def _learning(monkeypatch):
    monkeypatch.setattr(steps, "LEARNING_RATE", 0.1)


def test_a_training_step_is_one_of_gradient_descent():
    weights = RNG.normal(size=(4, 3)).astype("float32")
    variable = tf.Variable(weights)
    made = compiled_steps(lambda x: tf.matmul(x, variable), [variable], X, FLOW)
    np.testing.assert_allclose(made.forward(), X @ weights, rtol=1e-5)
    output, (input_gradient,) = made.training()
    np.testing.assert_allclose(output, X @ weights, rtol=1e-5)
    np.testing.assert_allclose(input_gradient, FLOW @ weights.T, rtol=1e-4)
    np.testing.assert_allclose(variable.numpy(), weights - 0.1 * X.T @ FLOW, rtol=1e-5)


def test_an_embedding_moves_only_the_rows_that_were_looked_up():
    layer = keras.layers.Embedding(9, 3)
    layer.build()
    before = keras.ops.convert_to_numpy(layer.embeddings)
    ids = np.array([2, 5, 2, 7, 7, 7], "int32")
    made = keras_steps(layer, ids, FLOW)
    _, gradients = made.training()
    assert gradients == []
    moved = np.any(keras.ops.convert_to_numpy(layer.embeddings) != before, axis=1)
    assert np.flatnonzero(moved).tolist() == [2, 5, 7]


def test_layers_know_whether_they_are_trained():
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, x, training=None):
            seen.append(training)
            return x[:, :3]

    made = keras_steps(Spy(), X, FLOW)
    made.forward()
    made.training()
    assert seen == [False, True]
