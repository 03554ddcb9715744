import keras
import numpy as np
import pytest
from keras import ops

from dart_keras import adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 12)).astype("float32")
Y = RNG.normal(size=(24, 10)).astype("float32")
RATE = 0.1


def allora_model(eta=2.0):
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(10, name="one")])
    return adapters.adapt(base, adapters.ALLoRA(rank=4, eta=eta), ["one"])


def matrices(model):
    adapter = adapted_layers_in(model)[0].adapters["default"]
    first, second = (core.numpy().astype("float64") for core in adapter.update.cores)
    return first[0, :, 0], second[:, 0, :, 0]


def step_of(model):
    """What the gradients of the two matrices are, by a step of gradient descent."""
    before = matrices(model)
    model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=False)
    model.fit(X, Y, batch_size=len(X), shuffle=False, verbose=0)
    return [(old - new) / RATE for old, new in zip(before, matrices(model), strict=True)]


@pytest.mark.parametrize("eta", [2.0, 0.5])
@pytest.mark.parametrize("is_trained", [False, True])
def test_gradients_are_those_of_the_paper(eta, is_trained):
    model = allora_model(eta)
    left, right = matrices(model)
    if is_trained:
        right = RNG.normal(size=right.shape)
        adapted_layers_in(model)[0].adapters["default"].update.cores[1].assign(
            right[:, None, :, None]
        )
    outputs = ops.convert_to_numpy(model(X))
    of_kernel = X.T @ (2 / Y.size * (outputs - Y)).astype("float64")
    # One number for each output unit, a column of the kernel in Keras.
    norms = np.linalg.norm(left @ right, axis=0)
    of_kernel = of_kernel / np.sqrt(norms + 1 / eta**2)
    of_left, of_right = step_of(model)
    np.testing.assert_allclose(of_left, of_kernel @ right.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(of_right, left.T @ of_kernel, rtol=1e-3, atol=1e-5)


def test_layers_before_get_the_gradient_as_it_is():
    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(10, name="two")
    base = keras.Sequential([keras.Input((12,)), keras.layers.Dense(6, name="one"), head])
    steps = []
    for method in (adapters.LoRA(rank=2, alpha=2), adapters.ALLoRA(rank=2)):
        model = adapters.adapt(base, method, ["two"], train_also=["one"])
        keras.utils.set_random_seed(1)
        for core in adapted_layers_in(model)[1].adapters["default"].update.cores:
            core.assign(keras.random.normal(core.shape))
        model.compile(keras.optimizers.SGD(RATE), "mse", jit_compile=False)
        model.fit(X, Y, batch_size=len(X), verbose=0, shuffle=False)
        steps.append([variable.numpy() for variable in model.trainable_variables])
    assert len(steps[0]) == 4
    for plain, changed in zip(steps[0][:2], steps[1][:2], strict=True):
        np.testing.assert_allclose(changed, plain, rtol=1e-4, atol=1e-6)
    assert not np.allclose(steps[0][2], steps[1][2], atol=1e-3)


def test_training_computes_what_inference_does():
    model = allora_model()
    adapter = adapted_layers_in(model)[0].adapters["default"]
    adapter.update.cores[1].assign(RNG.normal(size=adapter.update.cores[1].shape))
    trained, used = (keras.ops.convert_to_numpy(model(X, training=each)) for each in (True, False))
    np.testing.assert_allclose(trained, used, atol=1e-5)


def test_ranks_can_be_cut_in_training():
    model = allora_model()
    step_of(model)
    adapted_layers_in(model)[0].adapters["default"].update.truncate(2)
    history = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    assert matrices(model)[0].shape == (12, 2)
    assert history[1] < history[0]


@pytest.mark.parametrize("eta", [0, -1.0, "2"])
def test_eta_is_above_zero(eta):
    with pytest.raises(ValueError, match="Expected `eta` above 0"):
        adapters.ALLoRA(eta=eta)
