import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.compression.factorization.moments import Moments


def batches(seed, sizes, inputs=5, targets=3, mean=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(inputs, targets))
    for size in sizes:
        x = rng.normal(size=(size, inputs)) + mean
        yield x, x @ mixing + rng.normal(size=(size, targets))


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 20), min_size=1, max_size=5),
    st.sampled_from([0.0, 1e6]),
)
def test_batch_by_batch_they_are_those_of_all_rows(seed, sizes, mean):
    moments = Moments()
    for x, y in batches(seed, sizes, mean=mean):
        moments.add(x, y)
    x, y = (np.concatenate(parts) for parts in zip(*batches(seed, sizes, mean=mean), strict=True))
    both = np.cov(np.concatenate([x, y], axis=1), rowvar=False, bias=True)
    assert moments.count == len(x)
    tolerance = {"rtol": 1e-9, "atol": 1e-9 * max(1.0, mean)}
    np.testing.assert_allclose(moments.input_mean, x.mean(0), **tolerance)
    np.testing.assert_allclose(moments.target_mean, y.mean(0), **tolerance)
    # Sums of squares that are not centred would have lost twelve digits to the mean.
    np.testing.assert_allclose(moments.input_covariance, both[:5, :5], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(moments.cross_covariance, both[:5, 5:], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(moments.target_variance, np.trace(both[5:, 5:]), rtol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_a_sensitivity_weights_the_variance(seed):
    factor = np.random.default_rng(seed).normal(size=(3, 3))
    sensitivity = factor @ factor.T
    moments = Moments(sensitivity)
    ((x, y),) = batches(seed, [40])
    moments.add(x, y)
    weighted = np.sum(sensitivity * np.cov(y, rowvar=False, bias=True))
    # The flat part that is added to it: a thousandth of the mean eigenvalue.
    flat = 1e-3 * np.trace(sensitivity) / 3 * np.sum(y.var(0))
    np.testing.assert_allclose(moments.target_variance, weighted + flat, rtol=1e-6)
    sensitivity += 1e-3 * np.trace(sensitivity) / 3 * np.eye(3)
    np.testing.assert_allclose(moments.root @ moments.root.T, sensitivity, rtol=1e-5, atol=1e-6)


def test_a_sensitivity_of_few_outputs_leaves_the_others_some_weight():
    assert np.all(np.diag(Moments(np.diag([1.0, 0.0])).root) > 0)


def test_a_sensitivity_with_negative_eigenvalues_is_refused():
    with pytest.raises(ValueError, match=r"^Expected .*semidefinite.*Received.*\(2, 2\)"):
        Moments(np.array([[1.0, 2.0], [2.0, 1.0]]))


def test_the_prior_weakens_as_rows_are_added():
    moments, strengths = Moments(), []
    for x, y in batches(0, [3, 30, 300, 3000]):
        moments.add(x * [9, 3, 1, 1, 1], y)
        strengths.append(moments.prior_strength() / np.trace(moments.input_covariance))
    assert np.all(np.diff(strengths) < 0)
    assert strengths[-1] < 1e-3


@pytest.mark.parametrize("value", [0.0, 3.0, -1e8])
@pytest.mark.parametrize("rows", [1, 50])
def test_the_prior_is_above_zero_for_constant_inputs(value, rows):
    moments = Moments()
    for _ in range(2):
        moments.add(np.full((rows, 4), value), np.zeros((rows, 2)))
    assert 0 < moments.prior_strength() < np.inf


NOTHING = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((3, 2, 1)), NOTHING, r"\(rows, N\).*Received shapes: \(3, 2, 1\) and \(3, 2\)"),
        (np.zeros((4, 2)), NOTHING, r"Received shapes: \(4, 2\) and \(3, 2\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), r"Received shapes: \(0, 2\)"),
        (np.full((3, 2), np.nan), NOTHING, "finite `inputs`. Received: NaN"),
        (NOTHING, np.full((3, 2), np.inf), "finite `targets`. Received: NaN or inf"),
        (np.zeros((3, 5)), NOTHING, "2 inputs and 2 targets, as before"),
    ],
)
def test_bad_rows_are_refused_and_change_nothing(inputs, targets, message):
    moments = Moments()
    moments.add(np.eye(2), np.eye(2))
    with pytest.raises(ValueError, match=message):
        moments.add(inputs, targets)
    assert moments.count == 2
    np.testing.assert_array_equal(moments.input_mean, [0.5, 0.5])


@pytest.mark.parametrize(
    "sensitivity",
    [np.ones(3), np.ones((2, 3)), np.triu(np.ones((3, 3))), np.zeros((3, 3)), np.eye(3) * np.nan],
)
def test_a_sensitivity_that_is_none_is_refused(sensitivity):
    with pytest.raises(ValueError, match=r"symmetric matrix with a positive trace\. Received"):
        Moments(sensitivity)


def test_targets_that_do_not_fit_the_sensitivity_are_refused():
    with pytest.raises(ValueError, match=r"Expected 3 targets a row.*\(2, 2\)"):
        Moments(np.eye(3)).add(np.eye(2), np.eye(2))
