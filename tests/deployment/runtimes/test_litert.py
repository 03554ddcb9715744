import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.deployment.runtimes.litert import run_on_litert
from dart_keras.deployment.runtimes.result import RefusedError
from tests.corruption import of_two_gibibytes
from tests.deployment import models


def test_rows_are_run_one_by_one_and_timed():
    model = models.dense()
    result = run_on_litert(convert(model).content, [models.ROWS], minimum_runs=100)
    expected = model.predict(models.ROWS, verbose=0)
    np.testing.assert_allclose(result.outputs[0], expected, rtol=1e-4, atol=1e-6)
    assert result.microseconds > 0
    assert result.arena_size is None


def test_what_it_cannot_run_is_refused():
    with pytest.raises(RefusedError, match="LiteRT cannot run"):
        run_on_litert(b"no model at all", [models.ROWS])


def test_in_a_process_of_its_own_it_gives_the_same():
    content = convert(models.dense()).content
    here, apart = (run_on_litert(content, [models.ROWS], seconds=s) for s in (None, 60))
    np.testing.assert_array_equal(apart.outputs[0], here.outputs[0])
    assert apart.microseconds > 0


def test_a_file_that_may_be_damaged_gets_no_more_memory_than_any_needs():
    with pytest.raises(RefusedError, match="LiteRT cannot run") as caught:
        run_on_litert(of_two_gibibytes(), [np.ones((1, 1), "float32")], seconds=60)
    assert len(str(caught.value).splitlines()) == 1
