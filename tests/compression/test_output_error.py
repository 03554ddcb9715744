import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.compression.moments import Moments
from dart_keras.compression.output_error import OutputError
from dart_keras.tensor_train import TTMatrix

modes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(modes, modes, st.integers(1, 6), st.booleans(), st.integers(0, 10**6))
def test_errors_of_all_ranks_are_those_of_the_cut_trains(inputs, outputs, rank, weighted, seed):
    rng = np.random.default_rng(seed)
    n, m = inputs[0] * inputs[1], outputs[0] * outputs[1]
    sensitivity = None
    if weighted:
        directions = rng.normal(size=(m, m))
        sensitivity = directions @ directions.T + np.eye(m)
    moments, kernel = Moments(sensitivity), rng.normal(size=(n, m))
    rows = rng.normal(size=(20, n))
    moments.add(rows + 0.1 * rng.normal(size=rows.shape), rows @ kernel)
    first = rng.normal(size=(inputs[0], outputs[0], rank))
    last = rng.normal(size=(rank, inputs[1], outputs[1]))
    error = OutputError(kernel, moments)
    cut = [
        TTMatrix((first[None, ..., :r], last[:r, ..., None])).to_dense() for r in range(1, rank + 1)
    ]
    expected = [error.of(matrix) for matrix in cut]
    assert error.of_ranks(first, last) == pytest.approx(expected, rel=1e-9)


def test_the_error_is_that_of_the_outputs_on_many_rows():
    rng = np.random.default_rng(0)
    kernel, other = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    rows = rng.normal(size=(100_000, 5)) @ rng.normal(size=(5, 5)) + 1
    moments = Moments()
    moments.add(rows, rows @ kernel)
    # The best bias takes the mean away.
    lost = np.var(rows @ (other - kernel), axis=0).sum() / np.var(rows @ kernel, axis=0).sum()
    assert OutputError(kernel, moments).of(other) == pytest.approx(lost, rel=1e-3)
