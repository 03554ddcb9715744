"""The report of a conversion, which several files fill."""

import json

import keras

from dart_keras.deployment import convert
from tests.deployment import models


def test_the_report_is_json_and_complete():
    artifact = convert(
        models.dense(), "microcontroller", quantization="int8", calibration_data=models.ROWS
    )
    report = json.loads(json.dumps(artifact.report, allow_nan=False))
    assert report["operators"] == {"FULLY_CONNECTED": 2, "SOFTMAX": 1}
    assert report["parameters"] == 20 * 16 + 16 + 16 * 4 + 4
    assert report["file_bytes"] == len(artifact.content) == artifact.size
    assert report["arena_bytes"] == artifact.arena_size
    assert report["memory"] == {
        # Four rows of 20 input values and 4 output values, a byte each.
        "flash_bytes": {"model": artifact.size, "examples": 4 * (20 + 4)},
        "ram_bytes": {"arena": artifact.arena_size},
    }
    assert convert(models.dense()).report["memory"] is None
    assert report["calibration_rows"] == 64
    assert report["versions"]["keras"] == keras.__version__
    assert {"dart-keras", "tensorflow", "ai-edge-litert", "tflite-micro"} < set(report["versions"])
    assert report["inputs"][0]["scale"] > 0
