import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.runtimes.untrusted_files import open_file
from tests.deployment import models


@pytest.fixture(scope="module")
def artifact():
    return convert(models.dense(), quantization="int8", calibration_data=models.ROWS)


def test_a_whole_file_runs_as_ever(artifact):
    file = open_file(artifact.content, seconds=60)
    assert [info.shape for info in (*file.inputs, *file.outputs)] == [(1, 20), (1, 4)]
    outputs = file.run("litert", [models.ROWS]).outputs[0]
    np.testing.assert_array_equal(outputs, artifact.predict(models.ROWS))


def test_what_is_no_file_is_refused(artifact):
    for content, message in [
        (b"", "TFL3"),
        (b"....TFL4....", "TFL3"),
        (artifact.content[:100], "that LiteRT can load"),
    ]:
        with pytest.raises(ValueError, match=message):
            open_file(content, seconds=60)


@pytest.mark.parametrize(
    ("dtype", "scale", "message"),
    [("FLOAT16", 1.0, "float16"), ("INT8", -1.0, "scale"), ("INT8", np.nan, "scale")],
)
def test_inputs_that_make_no_sense_are_refused(artifact, dtype, scale, message):
    model = unpack(artifact.content)
    [graph] = model.subgraphs
    tensor = graph.tensors[graph.inputs[0]]
    tensor.type = {"FLOAT16": 1, "INT8": 9}[dtype]
    tensor.quantization.scale = np.array([scale], "float32")
    with pytest.raises(ValueError, match=message):
        open_file(pack(model), seconds=60)
