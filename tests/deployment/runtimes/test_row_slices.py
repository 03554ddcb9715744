import numpy as np
import pytest

from dart_keras.deployment.runtimes.result import RefusedError
from dart_keras.deployment.runtimes.row_slices import MINIMUM_ROWS, run_in_slices, spread_order
from dart_keras.deployment.runtimes.time_limit import TimeLimit


class Runtime:
    """Doubles rows, a few at a time."""

    def __init__(self, at_once):
        self.at_once, self.asked = at_once, []

    def __call__(self, inputs, minimum_runs):
        self.asked.append(minimum_runs)
        [rows] = (array[: self.at_once] for array in inputs)
        return [2 * rows], [0.5] * len(rows)


def run(count, at_once=3, minimum_runs=0, seconds=60.0, row_seconds=None):
    runtime = Runtime(at_once)
    limit = TimeLimit("LiteRT", seconds)
    rows = np.arange(count)[:, None]
    return run_in_slices(runtime, [rows], minimum_runs, limit, row_seconds), runtime.asked


@pytest.mark.parametrize("count", [1, 2, 7, 8, 20])
def test_all_rows_come_back_in_their_order(count):
    result, _ = run(count)
    np.testing.assert_array_equal(result.rows, np.arange(count))
    np.testing.assert_array_equal(result.outputs[0][:, 0], 2 * np.arange(count))
    assert result.microseconds == 500_000


def test_when_the_time_for_rows_is_over_a_few_are_run_from_all_over():
    result, asked = run(1000, row_seconds=0.0)
    assert MINIMUM_ROWS <= len(result.rows) < MINIMUM_ROWS + 3
    assert len(asked) == 3
    np.testing.assert_array_equal(result.outputs[0][:, 0], 2 * result.rows)
    # From sorted data, some of each quarter.
    assert set(result.rows * 4 // 1000) == {0, 1, 2, 3}
    assert list(result.rows) == sorted(result.rows)


def test_inferences_that_were_timed_count_for_the_next_slice():
    assert run(7, minimum_runs=5)[1] == [5, 2, -1]


def test_it_says_how_far_it_is(progress_lines):
    run(7)
    assert progress_lines()["running rows on LiteRT"].startswith("7 of 7 done")


def test_a_limit_ends_it():
    limit = TimeLimit("LiteRT", 0.0)
    with pytest.raises(RefusedError, match="LiteRT to be done with the model in 0 seconds"):
        _ = limit.left


@pytest.mark.parametrize("count", [1, 2, 3, 64, 100])
def test_every_beginning_of_the_order_is_spread(count):
    order = spread_order(count)
    assert sorted(order) == list(range(count))
    for length in (2, 4, 8, 16):
        if length <= count:
            gaps = np.diff([*sorted(order[:length]), count])
            assert gaps.max() <= 2 * np.ceil(count / length)
