import keras
import numpy as np
import pytest
from keras import ops

from dart_keras.deployment import ConversionError, convert
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from dart_keras.private_apis import flatten_operations

ROWS = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")


def with_output(operation):
    inputs = keras.Input((8,))
    x = keras.layers.Dense(6, name="logits")(inputs)
    return keras.Model(inputs, operation(x))


def test_operations_are_found_by_their_names():
    inner = keras.Input((8,))
    nested = keras.Model(inner, ops.sin(ops.multiply(inner, 2.0)), name="nested")
    inputs = keras.Input((8,))
    model = keras.Model(inputs, nested(inputs) + 1.0)
    exported = export(model, model_signature(model).resolved(None))
    names = {type(each).__name__: each.name for each in flatten_operations(model)}
    assert exported.layers_with(["Sin"]) == [names["Sin"]]
    assert exported.layers_with(["Mul"]) == [names["Multiply"]]
    assert exported.layers_with(["AddV2"]) == [names["Add"]]
    assert not any("call" in vars(each) for each in flatten_operations(model))


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: ops.argmax(x, axis=-1),
        lambda x: ops.argmin(x, axis=1, keepdims=True),
        lambda x: ops.argmax(x, keepdims=True),
    ],
    ids=["argmax", "argmin", "of all axes"],
)
def test_the_place_of_an_extreme_is_an_output(operation):
    model = with_output(operation)
    artifact = convert(model, calibration_data=ROWS)
    assert artifact.report["runtimes"]["litert"]["outputs"][0]["equal"] == 1.0
    expected = np.concatenate([np.reshape(model(row[None]), -1) for row in ROWS])
    np.testing.assert_array_equal(artifact.predict(ROWS).ravel(), expected)


def test_a_microcontroller_finds_it_too():
    model = with_output(lambda x: ops.argmax(x, axis=-1))
    options = {"quantization": "int8", "calibration_data": ROWS}
    artifact = convert(model, "microcontroller", **options)
    assert artifact.operators == ["ARG_MAX", "FULLY_CONNECTED"]
    assert np.mean(artifact.predict(ROWS, runtime="tflm") == np.asarray(model(ROWS))) > 0.8


def test_an_operation_in_the_way_is_named():
    model = with_output(lambda x: ops.erfinv(ops.tanh(x)))
    with pytest.raises(ConversionError, match=r"Operator: Erfinv\. Layer: erfinv"):
        convert(model)


def test_outputs_without_rows_are_named():
    with pytest.raises(ConversionError, match=r"first axis.*Received: single numbers as .* \[0\]"):
        convert(with_output(ops.argmax))
