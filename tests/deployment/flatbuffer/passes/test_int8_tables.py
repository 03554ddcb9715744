import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.flatbuffer.passes.int8_tables import narrow_tables
from dart_keras.layers import TTEmbedding
from tests.deployment import models


def test_a_microcontroller_looks_up_rows_in_int16x8():
    artifact = convert(
        models.tt_embedding(),
        "microcontroller",
        quantization="int16x8",
        calibration_data=models.IDS,
    )
    assert {"GATHER", "QUANTIZE"} <= set(artifact.operators)
    assert artifact.report["weight_bytes"]["int8"] > 400
    assert "int16" not in artifact.report["weight_bytes"]
    for distances in artifact.verify(models.IDS).values():
        assert distances[0]["sqnr_db"] > 30


def test_entries_are_off_by_half_a_step_at_most():
    table = TTEmbedding(200, 16, 1, (200, 1), (1, 16))
    model = keras.Sequential([keras.Input((200,), dtype="int32"), table])
    ids = np.arange(200, dtype="int32")[None]
    content = models.lowered(model, "int16x8", ids)
    narrowed = models.changed(content, narrow_tables)
    wide, narrow = (models.outputs(c, ids, "litert") for c in (content, narrowed))
    step = np.abs(wide).max() / 127
    assert 0.4 * step < np.abs(wide - narrow).max() < 0.51 * step


@pytest.mark.parametrize("quantization", ["float32", "int8"])
def test_files_without_such_tables_stay_as_they_are(quantization):
    content = models.lowered(models.tt_embedding(), quantization, models.IDS)
    assert models.changed(content, narrow_tables) == models.changed(content)
