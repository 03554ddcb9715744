import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.passes.strip_metadata import strip_metadata
from dart_keras.deployment.flatbuffer.passes.strip_names import strip_names
from dart_keras.deployment.flatbuffer.serialization import unpack
from tests.deployment import models


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
@pytest.mark.parametrize("passes", [(strip_metadata,), (strip_metadata, strip_names)])
def test_stripped_files_give_the_same_bits(quantization, passes):
    rows = models.RNG.normal(size=(32, 60))
    content = models.lowered(models.three_cores(), quantization, rows)
    stripped = models.changed(content, *passes)
    assert len(stripped) < len(content)
    assert models.operators(stripped) == models.operators(content)
    for runtime in ("litert", "tflm"):
        np.testing.assert_array_equal(
            models.raw_outputs(stripped, rows, runtime), models.raw_outputs(content, rows, runtime)
        )


def test_a_raspberry_pi_can_ask_by_name():
    from ai_edge_litert.interpreter import Interpreter

    artifact = convert(models.dense(), quantization="int8", calibration_data=models.ROWS)
    runner = Interpreter(model_content=artifact.content).get_signature_runner()
    given = artifact.inputs[0].quantize(models.ROWS[:1])
    [output] = runner(features=given).values()
    np.testing.assert_array_equal(
        artifact.outputs[0].dequantize(output), artifact.predict(models.ROWS[:1])
    )


def test_nothing_but_values_is_left_for_a_microcontroller():
    content = convert(
        models.dense(), "microcontroller", quantization="int16x8", calibration_data=models.ROWS
    ).content
    model = unpack(content)
    assert not model.signatureDefs
    assert not model.metadata
    for tensor in model.subgraphs[0].tensors:
        assert tensor.name is None
        if tensor.quantization is not None:
            assert tensor.quantization.min is tensor.quantization.max is None
    assert b"dense" not in content
