import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.passes.relu6 import keep_relu6_scales
from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from tests.deployment import models


def alone():
    inputs = keras.Input((60,))
    return keras.Model(inputs, keras.ops.relu6(inputs))


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_values_above_six_become_six_on_both_runtimes(quantization):
    rows = 4 * models.RNG.normal(size=(64, 60)).astype("float32")
    artifact = convert(alone(), "microcontroller", quantization=quantization, calibration_data=rows)
    assert artifact.operators == ["RELU"]
    expected = np.clip(rows, 0, 6)
    # The inputs are rounded, too.
    step = artifact.inputs[0].scale + artifact.outputs[0].scale
    for runtime in ("litert", "tflm"):
        assert np.abs(artifact.predict(rows, runtime) - expected).max() < step


def test_float_files_stay():
    rows = models.RNG.normal(size=(8, 60)).astype("float32")
    content = models.lowered(alone(), "float32", rows)
    assert models.changed(content, keep_relu6_scales) == models.changed(content)


@pytest.mark.parametrize("quantization", ["int8", "int16x8"])
def test_a_range_beyond_six_is_entered_before(quantization):
    rows = 4 * models.RNG.normal(size=(16, 60)).astype("float32")
    model = unpack(models.lowered(alone(), quantization, rows))
    [graph] = model.subgraphs
    [operator] = graph.operators
    graph.tensors[operator.outputs[0]].quantization.scale *= 1.5
    content = models.changed(pack(model), keep_relu6_scales)
    assert [o.name for o in ModelFile(content).operators] == ["QUANTIZE", "RELU6"]
    expected = models.outputs(pack(model), rows, "litert")
    step = ModelFile(content).outputs(["y"])[0].scale
    for runtime in ("litert", "tflm"):
        received = models.outputs(content, rows, runtime)
        np.testing.assert_allclose(received, expected, atol=1.01 * step)
        assert received.max() > 5.9


@given(peak=st.floats(0.5, 40))
def test_no_range_loses_what_is_below_six(peak):
    rows = np.linspace(-peak, peak, 8 * 60, dtype="float32").reshape(8, 60)
    content = models.lowered(alone(), "int8", rows)
    saturated = models.changed(content, keep_relu6_scales)
    assert [o.name for o in ModelFile(saturated).operators] == ["RELU"]
    received, expected = (models.raw_outputs(c, rows, "litert") for c in (saturated, content))
    np.testing.assert_array_equal(received, expected)
