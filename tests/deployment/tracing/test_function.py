import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError
from dart_keras.deployment.post_training.schemes import SCHEMES
from dart_keras.deployment.post_training.tflite_converter import lower
from dart_keras.deployment.tracing.function import export, in_float32
from dart_keras.deployment.tracing.signature import model_signature
from tests.deployment import models


def exported(model):
    return export(model, model_signature(model).resolved(None))


def test_it_computes_what_the_model_does_with_the_weights_of_then():
    model = models.dense()
    expected = model.predict(models.ROWS, verbose=0)
    function = exported(model)
    model.set_weights([value * 0 for value in model.get_weights()])
    np.testing.assert_allclose(function([models.ROWS])[0], expected, rtol=1e-4, atol=1e-6)


def test_operations_know_their_layers_whatever_tensorflow_calls_them():
    # The scope of the layer `dense` is called `dense_1` here, or the other way round.
    layers = [keras.layers.Dense(3, name=name) for name in ("dense", "dense_1", "dense_1_1")]
    inner = keras.Sequential([keras.Input((20,)), *layers], name="inner")
    model = keras.Sequential([keras.Input((20,)), inner], name="outer")
    function = exported(model)
    paths = function.layers_with(["MatMul"])
    assert paths == [layer.path for layer in layers]
    assert function.layer_of("nothing/of/the/kind") is None


def test_layers_are_as_before_also_after_a_failure():
    class Failing(keras.layers.Layer):
        def call(self, inputs):
            if inputs.shape[0] == 1:
                raise ValueError("no batch of one")
            return inputs

        def compute_output_spec(self, inputs):
            return inputs

    failing = Failing(dtype="mixed_float16")
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(3), failing])
    before = [dict(vars(layer)) for layer in model._flatten_layers()]
    with pytest.raises(ConversionError, match="no batch of one"):
        exported(model)
    for layer, attributes in zip(model._flatten_layers(), before, strict=True):
        assert set(vars(layer)) == set(attributes)
        assert layer.dtype_policy is attributes["_dtype_policy"]


def test_in_float32_is_for_a_while_only():
    layer = keras.layers.Dense(3, dtype="mixed_bfloat16")
    model = keras.Sequential([keras.Input((20,)), layer])
    with in_float32(model):
        assert model(models.ROWS).dtype == "float32"
    assert model(models.ROWS).dtype == "bfloat16"


def test_equal_names_of_outputs_are_told_apart():
    inputs = keras.Input((20,))
    layer = keras.layers.Dense(3)
    model = keras.Model(inputs, [layer(inputs), layer(2 * inputs)])
    assert exported(model).output_names == ("output_0", "output_1")


def test_activations_with_gradients_of_their_own_can_be_converted():
    model = keras.Sequential([keras.Input((20,)), keras.layers.Dense(4, activation="silu")])
    function = exported(model)
    operations = function.function.graph.get_operations()
    assert "IdentityN" in [operation.type for operation in operations]
    assert not any("_gradient_op_type" in operation.node_def.attr for operation in operations)
    content = lower(function, SCHEMES["float32"], ())
    assert models.decibels(content, model, models.ROWS, "litert") > 100
