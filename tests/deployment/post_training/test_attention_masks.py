import keras
import numpy as np
import pytest
from keras import ops

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import operator_name, pack, unpack
from dart_keras.deployment.post_training.activation_ranges import set_true_ranges
from dart_keras.deployment.post_training.attention_masks import clip_masks
from dart_keras.deployment.post_training.tensor_values import TensorValues
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature

LENGTH, WIDTH = 12, 8


def attention(*hidden):
    """One causal attention after another, each with what it adds to the scores of later places."""
    inputs = x = keras.Input((LENGTH, WIDTH))
    for number in hidden:
        mask = np.triu(np.full((LENGTH, LENGTH), number, "float32"), 1)
        scores = ops.matmul(x, ops.transpose(x, (0, 2, 1)))
        x = ops.matmul(ops.softmax(scores + mask), x)
    return keras.Model(inputs, x)


def rows(count):
    return np.random.default_rng(0).normal(size=(count, LENGTH, WIDTH)).astype("float32")


def measured(model, data):
    return FileConverter(
        export(model, model_signature(model)), SCHEMES["int8"], [data]
    )._with_ranges


@pytest.mark.parametrize("hidden", [-1e4, -1e9])
def test_masked_attention_keeps_its_accuracy_on_both_runtimes(hidden):
    artifact = convert(
        attention(hidden, hidden),
        "microcontroller",
        quantization="int8",
        calibration_data=rows(64),
    )
    for runtime in ("litert", "tflm"):
        [result] = artifact.report["runtimes"][runtime]["outputs"]
        assert result["sqnr_db"] > 26
    # What is hidden stays so: later places change nothing.
    changed = rows(8)
    changed[:, LENGTH // 2 :] += 1
    first = slice(0, LENGTH // 2)
    np.testing.assert_array_equal(
        artifact.predict(changed)[:, first], artifact.predict(rows(8))[:, first]
    )
    # The mask counts as no loss of precision.
    assert artifact.operator_errors(rows(8)).worst.added_db > 25


def test_keras_own_attention_with_a_causal_mask():
    inputs = keras.Input((LENGTH, WIDTH))
    layer = keras.layers.MultiHeadAttention(2, 8)
    model = keras.Model(inputs, layer(inputs, inputs, use_causal_mask=True))
    for weights in layer.weights:
        weights.assign(3 * weights)
    artifact = convert(model, quantization="int8", calibration_data=rows(64))
    [result] = artifact.report["runtimes"]["litert"]["outputs"]
    assert result["sqnr_db"] > 26


@pytest.mark.parametrize("integers", ["int8", "int16"])
def test_a_mask_that_is_cut_off_gives_the_same_to_half_a_step(integers):
    data = rows(32)
    model = attention(-1e4)
    exported = export(model, model_signature(model))
    scheme = SCHEMES["int8" if integers == "int8" else "int16x8"]
    content = FileConverter(exported, scheme, [data])._with_ranges
    graph = unpack(content).subgraphs[0]
    [softmax] = [o for o in graph.operators if operator_name(unpack(content), o) == "SOFTMAX"]
    low = graph.tensors[softmax.inputs[0]].quantization.min[0]
    assert -40 < low < -5
    seen = TensorValues(content, "builtin")
    for row in data:
        seen.invoke([row])
        shares = seen.tensor(int(softmax.outputs[0]))
        scores = seen.tensor(int(softmax.inputs[0]))
        # What the file's integers hold of them.
        held = np.exp(np.maximum(scores, low))
        assert np.all(shares[..., np.triu(np.ones((LENGTH, LENGTH)), 1) == 1] < 1e-4)
        step = 1 / 256 if integers == "int8" else 1 / 32768
        assert np.abs(held / held.sum(-1, keepdims=True) - shares).max() <= step / 2


def test_files_without_a_mask_stay():
    inputs = keras.Input((WIDTH,))
    model = keras.Model(inputs, keras.layers.Dense(4, "softmax")(inputs))
    data = np.random.default_rng(0).normal(size=(8, WIDTH)).astype("float32")
    content = measured(model, data)
    file = unpack(content)
    clip_masks(file, "int8", [data])
    assert pack(file) == content


def test_ranges_before_an_addition_in_place_are_those_of_its_inputs():
    inputs = keras.Input((LENGTH, WIDTH))
    small = keras.layers.Dense(WIDTH, name="small")
    model = keras.Model(inputs, ops.relu(small(inputs) + 50 * inputs) + inputs)
    data = rows(16)
    content = measured(model, data)
    file = unpack(content)
    set_true_ranges(file, [data])
    assert pack(file) == content
    [tensor] = [
        tensor
        for tensor in unpack(content).subgraphs[0].tensors
        if tensor.name.startswith(b"functional")
        and b"small" in tensor.name.split(b";")[0]
        and tensor.quantization is not None
        and tensor.quantization.min is not None
    ][:1]
    given = small(data).numpy()
    assert tensor.quantization.min[0] == pytest.approx(given.min(), rel=1e-5)
    assert tensor.quantization.max[0] == pytest.approx(given.max(), rel=1e-5)
