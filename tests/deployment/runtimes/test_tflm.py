import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes.result import RefusedError
from dart_keras.deployment.runtimes.tflm import run_on_tflm
from tests.deployment import models


@pytest.fixture(scope="module")
def quantized():
    artifact = convert(
        models.dense(), "microcontroller", quantization="int16x8", calibration_data=models.ROWS
    )
    return artifact, [artifact.inputs[0].quantize(models.ROWS)]


def test_the_arena_is_the_smallest_that_works(quantized):
    artifact, inputs = quantized
    assert artifact.arena_size % 16 == 0
    expected = run_on_tflm(artifact.content, inputs).outputs[0]
    enough = run_on_tflm(artifact.content, inputs, artifact.arena_size)
    np.testing.assert_array_equal(enough.outputs[0], expected)
    assert enough.arena_size == artifact.arena_size
    with pytest.raises(RefusedError, match="TensorFlow Lite Micro cannot run the model"):
        run_on_tflm(artifact.content, inputs, artifact.arena_size - 16)


@pytest.mark.parametrize("arena_size", [0, 16, 1000, 1600, 2400, 3200])
def test_no_arena_is_so_small_that_it_ends_this_process(quantized, arena_size):
    artifact, inputs = quantized
    with pytest.raises(RefusedError):
        run_on_tflm(artifact.content, inputs, arena_size)


def test_a_missing_kernel_is_found_in_the_file():
    content = convert(models.embedding()).content
    with pytest.raises(RefusedError, match="no kernel") as caught:
        run_on_tflm(content, [models.IDS])
    assert caught.value.operators == ["SELECT"]
    assert len(caught.value.indices) == 1


def test_a_kernel_that_refuses_is_found_in_the_file():
    artifact = convert(models.tt_embedding(), quantization="int16x8", calibration_data=models.IDS)
    with pytest.raises(RefusedError, match=r"INT16.*gather") as caught:
        run_on_tflm(artifact.content, [models.IDS])
    assert caught.value.operators == ["GATHER"]
    assert len(caught.value.indices) == 1
