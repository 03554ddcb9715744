import keras
import numpy as np

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes import tflm_worker
from dart_keras.layers import TTEmbedding
from tests.deployment import models


def test_it_runs_row_by_row():
    model = models.dense()
    content = convert(model).content
    outputs, seconds = tflm_worker.run_rows(content, [models.ROWS], 2**16, minimum_runs=100)
    expected = model.predict(models.ROWS, verbose=0)
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-6)
    assert len(seconds) == 100
    assert min(seconds) > 0


def test_an_input_whose_memory_is_used_again_is_set_for_every_run():
    # The looked-up row overwrites the ids, so that a second run would look up nonsense.
    table = TTEmbedding(30, 16, 4, (30, 1), (1, 16))
    model = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    content = convert(model, "microcontroller").content
    ids = np.array([[0, 7, 29], [1, 2, 3]], "int32")
    outputs, _ = tflm_worker.run_rows(content, [ids], 2**16, minimum_runs=50)
    np.testing.assert_allclose(outputs[0], model.predict(ids, verbose=0), rtol=1e-4, atol=1e-6)
