import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes.executable import Executable
from tests.deployment import models


@pytest.mark.parametrize("quantization", ["float32", "int8", "int16x8"])
def test_both_runtimes_give_the_same(quantization):
    artifact = convert(
        models.tt_dense(),
        "microcontroller",
        quantization=quantization,
        calibration_data=models.ROWS,
    )
    file = Executable(artifact.content, artifact.inputs, artifact.outputs)
    (litert,) = file.run("litert", [models.ROWS]).outputs
    (tflm,) = file.run("tflm", [models.ROWS], artifact.arena_size).outputs
    # Kernels may round a tie differently; each of the layers may be off by one.
    np.testing.assert_allclose(litert, tflm, atol=4 * (artifact.outputs[0].scale or 1e-6))
