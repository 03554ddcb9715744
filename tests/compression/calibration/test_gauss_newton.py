import keras
import numpy as np
import pytest
from keras import layers, ops

from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.compression.calibration.gauss_newton import gauss_newton_matrices
from dart_keras.compression.calibration.output_loss import OutputStatistics
from dart_keras.compression.calibration.sequence_padding import visible_rows
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.model_surgery.clone import copy_model


def found_matrices(model, data, numbers=10):
    copy, copies = copy_model(model)
    batches = np.array_split(data, 4)
    statistics = OutputStatistics()
    for batch in batches:
        statistics.add(copy(batch, training=False))
    compressibles, variances = find_compressible_layers(model)[0], statistics.variances()
    visible = visible_rows(copy, batches)
    found = gauss_newton_matrices(
        copy, copies, compressibles, batches, visible, CountedOutputs(model), variances, numbers
    )
    return dict(
        zip([compressible.path for compressible in compressibles], found, strict=True)
    ), variances


def assert_near(found, expected):
    # Of 2,000 random directions and more.
    assert np.linalg.norm(found - expected) < 0.12 * np.linalg.norm(expected)


def kernel(model, name):
    return np.asarray(model.get_layer(name).kernel, "float64")


@pytest.mark.parametrize("positions", [(), (3,)])
def test_matrices_are_those_of_the_jacobian(positions):
    x = keras.Input((*positions, 6))
    hidden = layers.Dense(5, name="first")(x)
    outputs = [layers.Dense(4, name="large")(hidden) * 100, layers.Dense(2, name="small")(hidden)]
    model = keras.Model(x, outputs)
    data = np.random.default_rng(0).normal(size=(256, *positions, 6)).astype("float32")
    found, (large, small) = found_matrices(model, data)
    # Both outputs count the same, and a row of the data makes several of each.
    rows = 2 * np.prod(positions)
    a, b = 100 * kernel(model, "large"), kernel(model, "small")
    assert_near(found["first"], (a @ a.T / large + b @ b.T / small) / rows)
    assert_near(found["large"], np.eye(4) * 100**2 / large / rows)
    assert_near(found["small"], np.eye(2) / small / rows)


@pytest.mark.parametrize("apart", [False, True], ids=["in the layer", "in the next one"])
def test_matrices_count_activations_and_pools_after_the_layer(apart):
    x = keras.Input((4, 3))
    hidden = layers.Dense(5, None if apart else "relu", name="first")(x)
    hidden = layers.ReLU()(hidden) if apart else hidden
    pooled = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(x, layers.Dense(3, name="last")(pooled))
    data = np.random.default_rng(0).normal(size=(256, 4, 3)).astype("float32")
    found, [variance] = found_matrices(model, data)
    slopes = (np.asarray(keras.Model(x, hidden)(data)) > 0).reshape(-1, 5)
    jacobians = slopes[:, :, None] * kernel(model, "last") / 4
    expected = np.einsum("rio,rjo->ij", jacobians, jacobians) / len(jacobians) / variance
    assert_near(found["first"], expected)


@pytest.mark.parametrize("apart", [False, True], ids=["in the layer", "in the next one"])
def test_matrices_of_logits_are_the_fisher_information(apart):
    last = [layers.Dense(4, None if apart else "softmax", name="logits")]
    stack = [keras.Input((6,)), *last, *([layers.Softmax()] if apart else [])]
    model = keras.Sequential(stack)
    data = 3 * np.random.default_rng(0).normal(size=(256, 6)).astype("float32")
    found, [variance] = found_matrices(model, data)
    p = np.asarray(model(data), "float64")
    assert_near(found["logits"], (np.diag(p.mean(0)) - p.T @ p / len(p)) / variance)


def test_layers_that_outputs_do_not_depend_on_have_none():
    x = keras.Input((6,))
    idle = layers.Dense(5, name="idle")(x)
    hidden = layers.Dense(5, name="used")(x) + 0.0 * idle
    stopped = ops.stop_gradient(layers.Dense(5, name="stopped")(x))
    model = keras.Model(x, [hidden, ops.argmax(stopped)])
    data = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
    found, _ = found_matrices(model, data)
    assert found["idle"] is None
    assert found["stopped"] is None
    assert found["used"].shape == (5, 5)


def test_few_rows_at_a_time_make_the_same_matrices():
    x = keras.Input((6,))
    hidden = layers.Dense(5, name="first")(x)
    model = keras.Model(x, layers.Dense(4, name="last")(hidden))
    data = np.random.default_rng(0).normal(size=(256, 6)).astype("float32")
    whole, _ = found_matrices(model, data)
    # A row of inputs would make more than can be held.
    single, _ = found_matrices(model, data, numbers=1e9)
    for name in whole:
        np.testing.assert_allclose(single[name], whole[name], rtol=1e-4, atol=1e-6)
