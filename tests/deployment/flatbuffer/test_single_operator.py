import numpy as np

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.serialization import pack, unpack
from dart_keras.deployment.runtimes.litert import run_on_litert
from dart_keras.deployment.validation.operator_errors import single_operator
from tests.deployment import models


def test_operators_one_after_another_give_what_the_file_gives():
    artifact = convert(models.dense(), quantization="int8", calibration_data=models.ROWS)
    given = artifact.inputs[0].quantize(models.ROWS)
    values = given
    model = unpack(artifact.content)
    for place, name in enumerate(models.operators(artifact.content)):
        alone = single_operator(model, place)
        assert models.operators(alone) == [name]
        [values] = run_on_litert(alone, [values]).outputs
    assert pack(model) == artifact.content
    np.testing.assert_array_equal(values, run_on_litert(artifact.content, [given]).outputs[0])
