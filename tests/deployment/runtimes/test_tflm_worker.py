import numpy as np

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes import tflm_worker

from .. import models


def test_it_runs_row_by_row():
    model = models.dense()
    content = convert(model).content
    outputs, microseconds = tflm_worker.run(content, [models.ROWS], 2**16, minimum_runs=100)
    expected = model.predict(models.ROWS, verbose=0)
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-6)
    assert microseconds > 0
