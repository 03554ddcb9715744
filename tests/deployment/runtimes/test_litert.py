import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes.litert import run
from dart_keras.deployment.runtimes.result import RefusedError

from .. import models


def test_rows_are_run_one_by_one_and_timed():
    model = models.dense()
    result = run(convert(model).content, [models.ROWS], minimum_runs=100)
    expected = model.predict(models.ROWS, verbose=0)
    np.testing.assert_allclose(result.outputs[0], expected, rtol=1e-4, atol=1e-6)
    assert result.microseconds > 0
    assert result.arena_size is None


def test_what_it_cannot_run_is_refused():
    with pytest.raises(RefusedError, match="LiteRT cannot run"):
        run(b"no model at all", [models.ROWS])
