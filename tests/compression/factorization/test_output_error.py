import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.compression.factorization import moments as moments_module
from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.output_error import OutputError
from dart_keras.tensor_train import TTMatrix

modes = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(modes, modes, st.integers(1, 6), st.booleans(), st.integers(0, 10**6))
def test_errors_of_all_ranks_are_those_of_the_truncated(inputs, outputs, rank, weighted, seed):
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


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_enough_rows_prove_a_step_from_the_kernel(noise):
    rng = np.random.default_rng(0)
    kernel, step = rng.normal(size=(20, 6)), rng.normal(size=(20, 6))
    # Directions of little variance as well.
    rows = rng.normal(size=(2000, 20)) * np.geomspace(1, 0.1, 20)
    targets = rows @ (kernel + step) + noise * rng.normal(size=(2000, 6))
    moments = Moments()
    moments.add(rows, targets)
    left = np.linalg.norm(OutputError(kernel, moments).best - kernel - step)
    assert left < (0.15 if noise else 0.01) * np.linalg.norm(step)


@pytest.mark.parametrize("rows", [2, 15, 30, 500])
@pytest.mark.parametrize("seed", range(3))
def test_chance_is_no_reason_for_a_step(rows, seed):
    rng = np.random.default_rng(seed)
    kernel, inputs = rng.normal(size=(20, 6)), rng.normal(size=(rows, 20))
    moments = Moments()
    moments.add(inputs, inputs @ kernel + rng.normal(size=(rows, 6)))
    assert np.linalg.norm(OutputError(kernel, moments).best - kernel) < 0.2 * np.linalg.norm(kernel)


def test_the_error_is_that_of_the_outputs_on_many_rows():
    rng = np.random.default_rng(0)
    kernel, other = rng.normal(size=(5, 4)), rng.normal(size=(5, 4))
    rows = rng.normal(size=(100_000, 5)) @ rng.normal(size=(5, 5)) + 1
    moments = Moments()
    moments.add(rows, rows @ kernel)
    # The best bias takes the mean away.
    lost = np.var(rows @ (other - kernel), axis=0).sum() / np.var(rows @ kernel, axis=0).sum()
    assert OutputError(kernel, moments).of(other) == pytest.approx(lost, rel=1e-3)


@given(st.integers(0, 2**16), st.sampled_from([3, 12, 40]), st.booleans(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_few_rows_say_the_same_as_their_sums(seed, rows, weighted, drifted):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(24, 6))
    sensitivity = np.diag(np.geomspace(1, 0.1, 6)) if weighted else None
    x = rng.normal(size=(rows, 5)) @ rng.normal(size=(5, 24)) + rng.normal(size=24)
    seen = x + 0.1 * rng.normal(size=x.shape) if drifted else x
    found = []
    for inputs_for_a_row in (0, 10**9):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(moments_module, "_INPUTS_FOR_A_ROW", inputs_for_a_row)
            known = Moments(sensitivity)
            for part in np.array_split(np.arange(rows), 2):
                known.add(seen[part], (x @ kernel)[part])
            found.append((known, OutputError(kernel, known)))
    (few, a), (many, b) = found
    assert [few.are_few, many.are_few] == [True, False]
    np.testing.assert_allclose(few.input_covariance, many.input_covariance, atol=1e-9)
    assert few.prior_strength() == pytest.approx(many.prior_strength(), rel=1e-6)
    scale = np.abs(b.best).max()
    np.testing.assert_allclose(a.best, b.best, atol=1e-6 * scale)
    for rank in (1, 4):
        ours, theirs = (each.low_rank(rank).to_dense() for each in (a, b))
        assert a.of(ours) == pytest.approx(b.of(ours), rel=1e-6, abs=1e-9)
        assert b.of(ours) == pytest.approx(b.of(theirs), rel=1e-5, abs=1e-9)


def test_of_many_inputs_no_covariance_is_made(monkeypatch):
    """It would take 200 MB for each layer here, and gigabytes where pictures are flattened."""

    def refuse(self):
        raise AssertionError("Expected no matrix of this size")

    monkeypatch.setattr(Moments, "input_covariance", property(refuse))
    keras.utils.set_random_seed(0)
    wide, last = keras.layers.Dense(16, name="wide"), keras.layers.Dense(3)
    model = keras.Sequential([keras.Input((5000,)), wide, last])
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(100, 4)) @ rng.normal(size=(4, 5000))).astype("float32")
    small, _ = compress(model, Parameters(30_000), x, layers=["wide"])
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        small.predict(x, verbose=0), expected, atol=1e-3 * np.abs(expected).max()
    )
