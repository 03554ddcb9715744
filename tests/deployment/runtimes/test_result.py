import io

import numpy as np
import pytest

from dart_keras.deployment import convert
from tests.deployment import models


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_they_are_what_the_targets_own_runtime_gives(target, quantization):
    rows = np.sort(models.ROWS, axis=0)
    artifact = convert(models.dense(), target, quantization=quantization, calibration_data=rows)
    [given], [gave] = artifact.examples.inputs, artifact.examples.outputs
    [takes], [gives] = artifact.inputs, artifact.outputs
    assert (given.dtype, gave.dtype) == (takes.dtype, gives.dtype)
    # From the first row to the last: data are often sorted.
    np.testing.assert_array_equal(given, takes.quantize(rows[[0, 21, 42, 63]]))
    runtime = {"raspberry-pi": "litert", "microcontroller": "tflm"}[target]
    expected = artifact.predict(takes.dequantize(given), runtime)
    np.testing.assert_array_equal(gives.dequantize(gave), expected)


def test_ids_and_dynamic_files_keep_their_dtypes():
    artifact = convert(
        models.tt_embedding(), quantization="dynamic", calibration_data=models.IDS[:3]
    )
    assert [array.dtype for array in artifact.examples.inputs] == ["int32"]
    assert [array.dtype for array in artifact.examples.outputs] == ["float32"]
    np.testing.assert_array_equal(artifact.examples.inputs[0], models.IDS[:3])


def test_several_inputs_and_outputs_are_saved_by_name_in_their_order():
    artifact = convert(models.two_in_three_out())
    saved = np.load(io.BytesIO(artifact.examples.as_npz(artifact.inputs, artifact.outputs)))
    assert list(saved) == [
        "inputs/z_first",
        "inputs/a_second",
        "outputs/z_out",
        "outputs/a_out",
        "outputs/m_out",
    ]
    recorded = [*artifact.examples.inputs, *artifact.examples.outputs]
    for name, array in zip(saved, recorded, strict=True):
        assert len(array) == 4
        np.testing.assert_array_equal(saved[name], array)
