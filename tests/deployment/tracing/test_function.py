import keras
import numpy as np
import pytest

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.post_training.tflite_converter import convert_exported
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import (
    AS_TRAINED,
    CORE_BASES,
    core_bases_of,
    export,
    in_float32,
)
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.layers import TTDense
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
    content = convert_exported(function, SCHEMES["float32"], ())
    assert models.decibels(content, model, models.ROWS, "litert") > 100


def uneven():
    """A model whose cores are left in a core basis that rounds badly: one column is far larger."""
    model = keras.Sequential([keras.Input((20,)), TTDense(24, 4, (4, 5), (4, 6))])
    first, second = model.layers[0].cores
    scales = np.array([100, 1, 1, 1], "float32")
    first.assign(first * scales)
    second.assign(second / scales[:, None, None, None])
    return model


@pytest.mark.parametrize("build", [models.tt_dense, models.three_cores, models.tt_embedding])
def test_every_core_basis_computes_the_same(build):
    model = build()
    signature = model_signature(model)
    [spec] = signature.inputs
    rows = models.IDS[:8]
    if spec.dtype != "int32":
        rows = models.RNG.normal(size=(8, *spec.shape)).astype("float32")
    bases = core_bases_of(model)
    assert list(bases) == [AS_TRAINED, *CORE_BASES]
    [expected] = export(model, signature)([rows])
    weights = model.get_weights()
    for name, replaced in bases.items():
        exported = export(model, signature, replaced=replaced)
        np.testing.assert_allclose(exported([rows])[0], expected, atol=1e-5)
        constants = [
            op.get_attr("value").tensor_content
            for op in exported.function.graph.get_operations()
            if op.type == "Const"
        ]
        assert all(
            (variable.numpy().tobytes() in constants) is (name == AS_TRAINED)
            for variable, _ in bases["rotated"]
        )
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_the_best_core_basis_is_taken(quantization):
    model, rows = uneven(), models.ROWS
    artifact = convert(model, quantization=quantization, calibration_data=rows)
    assert artifact.report["core_basis"] in CORE_BASES
    plain = models.lowered(model, quantization, rows)
    [output] = artifact.verify(rows)["litert"]
    assert output["sqnr_db"] > models.decibels(plain, model, rows, "litert") + 3


def test_there_is_nothing_to_choose_without_bonds_or_integers():
    wanted = {"quantization": "int8", "calibration_data": models.ROWS}
    assert convert(models.dense(), **wanted).report["core_basis"] is None
    assert convert(models.tt_dense()).report["core_basis"] is None
    model = keras.Sequential([keras.Input((20,)), TTDense(8, 1)])
    assert list(core_bases_of(model)) == [AS_TRAINED]


def test_ranks_that_would_shrink_are_left_alone():
    layer = TTDense(4, 2, (2, 2), (2, 2))
    model = keras.Sequential([keras.Input((4,)), layer])
    assert list(core_bases_of(model)) == [AS_TRAINED, *CORE_BASES]
    layer.replace_cores([np.ones((1, 2, 2, 5), "float32"), np.ones((5, 2, 2, 1), "float32")])
    assert list(core_bases_of(model)) == [AS_TRAINED]
