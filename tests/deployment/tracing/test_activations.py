import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.deployment import convert
from dart_keras.deployment.tracing.activations import in_bounded_form, mish, selu, softplus
from dart_keras.layers import TTDense

FORMS = {"softplus": softplus, "mish": mish, "selu": selu}


@pytest.mark.parametrize("name", FORMS)
@given(values=st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=20))
def test_the_forms_are_those_of_keras(name, values):
    x = np.array(values, "float32")
    expected = keras.activations.get(name)(x)
    np.testing.assert_allclose(FORMS[name](x), expected, rtol=2e-5, atol=2e-6)


def network(name):
    keras.utils.set_random_seed(0)
    first = TTDense(20, 3, activation=name)
    second = keras.layers.Dense(3, kernel_initializer="glorot_uniform")
    return keras.Sequential([keras.Input((20,)), first, second])


@pytest.mark.parametrize("name", FORMS)
def test_layers_get_their_own_activation_back(name):
    model = network(name)
    with in_bounded_form(model):
        x = np.linspace(-9, 9, 50, dtype="float32")
        np.testing.assert_array_equal(model.layers[0].activation(x), FORMS[name](x))
        assert model.layers[0].activation is not keras.activations.get(name)
    assert model.layers[0].activation is keras.activations.get(name)
    assert model.layers[1].activation is keras.activations.linear


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
@pytest.mark.parametrize("name", FORMS)
def test_they_keep_their_accuracy_as_integers(name, quantization):
    rows = 3 * np.random.default_rng(0).normal(size=(64, 20)).astype("float32")
    # The exponential of the largest number would have no steps for the others.
    rows[0] *= 4
    artifact = convert(network(name), quantization=quantization, calibration_data=rows)
    [distance] = artifact.report["runtimes"]["litert"]["outputs"]
    assert distance["sqnr_db"] > 25


def test_a_softplus_of_large_values_is_finite():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation("softplus")])
    received = convert(model, "microcontroller").predict([[100.0, 1e4]], runtime="tflm")
    np.testing.assert_allclose(received, [[100.0, 1e4]])


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_a_microcontroller_has_a_selu(quantization):
    rows = np.random.default_rng(0).normal(size=(64, 20)).astype("float32")
    artifact = convert(
        network("selu"), "microcontroller", quantization=quantization, calibration_data=rows
    )
    [distance] = artifact.report["runtimes"]["tflm"]["outputs"]
    assert distance["sqnr_db"] > 25
    if quantization != "float32":
        assert "ELU" in str(artifact.operator_errors(rows))
