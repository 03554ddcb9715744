import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tt_decomposition import decompose, refit, two_core_errors
from dart_keras.tensor_train import TTMatrix
from tests.tt_matrices import mode_pairs

SEEDS = st.integers(0, 2**32 - 1)


def moments_of(inputs, targets, **arguments):
    moments = Moments(**arguments)
    moments.add(inputs, targets)
    return moments


def layer(seed, inputs=12, outputs=8, rows=400, noise=0.0, sensitivity=None):
    """A kernel, a bias and the moments of correlated inputs, which may carry errors."""
    rng = np.random.default_rng(seed)
    kernel, bias = rng.normal(size=(inputs, outputs)), rng.normal(size=outputs)
    spread = (
        np.geomspace(1, 1e-2, inputs)[:, None] * np.linalg.qr(rng.normal(size=(inputs,) * 2))[0]
    )
    original = rng.normal(size=(rows, inputs)) @ spread + rng.normal(size=inputs)
    seen = original + noise * rng.normal(size=original.shape) @ spread
    targets = original @ kernel + bias
    moments = moments_of(seen, targets, sensitivity=sensitivity)
    return kernel, bias, moments, seen, targets


def plain(kernel):
    return (kernel.shape[0], 1), (1, kernel.shape[1])


def low_rank_errors(kernel, moments=None):
    """At every rank."""
    [errors] = two_core_errors(kernel, [(plain(kernel), range(1, min(kernel.shape) + 1))], moments)
    return errors


def output_error(train, bias, inputs, targets):
    lost = inputs @ train.to_dense() + bias - targets
    return np.sum(lost**2) / np.sum((targets - targets.mean(0)) ** 2)


@given(mode_pairs(max_size=400), SEEDS)
def test_full_rank_gives_the_layer_back(modes, seed):
    kernel, bias, moments, *_ = layer(seed, np.prod(modes[0]), np.prod(modes[1]))
    train, new_bias, error = decompose(kernel, *modes, 10**6, moments)
    np.testing.assert_allclose(train.to_dense(), kernel, atol=1e-6)
    np.testing.assert_allclose(new_bias, bias, atol=1e-6)
    assert 0 <= error < 1e-9


@given(mode_pairs(max_size=400), st.integers(1, 3), SEEDS)
def test_outputs_are_never_worse_than_with_tt_svd(modes, rank, seed):
    kernel, _, moments, x, y = layer(seed, np.prod(modes[0]), np.prod(modes[1]), rows=5000)
    train, bias, _ = decompose(kernel, *modes, rank, moments)
    blind = TTMatrix.from_dense(kernel, *modes, rank)
    blind_bias = y.mean(0) - x.mean(0) @ blind.to_dense()
    # The prior has a weight, though after 5,000 rows it is a small one.
    assert output_error(train, bias, x, y) <= 1.02 * output_error(blind, blind_bias, x, y) + 1e-3


def test_sweeps_gain_on_tt_svd_where_inputs_are_correlated():
    modes = ((4, 4, 4), (4, 4, 2))
    kernel, _, moments, x, y = layer(0, 64, 32, rows=2000)
    train, bias, error = decompose(kernel, *modes, 6, moments)
    blind = TTMatrix.from_dense(kernel, *modes, 6)
    blind_error = output_error(blind, y.mean(0) - x.mean(0) @ blind.to_dense(), x, y)
    assert output_error(train, bias, x, y) < 0.9 * blind_error
    assert abs(error - output_error(train, bias, x, y)) < 0.02


@given(SEEDS, st.sampled_from([0.0, 0.3]), st.booleans())
def test_errors_of_all_ranks_are_those_of_decompose_and_fall(seed, noise, with_moments):
    kernel, _, moments, *_ = layer(seed, noise=noise)
    errors = low_rank_errors(kernel, moments if with_moments else None)
    assert errors.shape == (8,)
    assert np.all(np.diff(errors) <= 0)
    assert errors[-1] >= 0
    for rank in (1, 3, 8):
        found = decompose(kernel, *plain(kernel), rank, moments if with_moments else None)
        np.testing.assert_allclose(found.error, errors[rank - 1], rtol=1e-6, atol=1e-9)


@given(SEEDS, st.integers(1, 7))
def test_turned_outputs_have_the_same_error(seed, rank):
    kernel, _, moments, x, y = layer(seed, noise=0.3)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(8, 8)))
    one = decompose(kernel, *plain(kernel), rank, moments)
    other = decompose(kernel @ turn, *plain(kernel), rank, moments_of(x, y @ turn))
    np.testing.assert_allclose(other.error, one.error, rtol=1e-8)
    np.testing.assert_allclose(other.bias, one.bias @ turn, atol=1e-6)
    np.testing.assert_allclose(other.matrix.to_dense(), one.matrix.to_dense() @ turn, atol=1e-6)


def test_refitting_makes_up_for_errors_of_earlier_layers_given_rows_enough():
    # Inputs that arrive halved, with a wrong mean: the layer must double them and shift.
    kernel, _, _, x, y = layer(0, rows=3000)
    train, new_bias, error = decompose(kernel, *plain(kernel), 8, moments_of(x / 2 + 1, y))
    assert output_error(train, new_bias, x / 2 + 1, y) < 1e-3
    assert error < 1e-2
    matrix, bias, same = refit(kernel, moments_of(x / 2 + 1, y))
    np.testing.assert_allclose(matrix, train.to_dense(), atol=1e-9)
    np.testing.assert_allclose(bias, new_bias, atol=1e-9)
    assert same == pytest.approx(error)


@given(st.integers(0, 2**16), st.booleans())
def test_no_tt_matrix_is_closer_than_the_refitted_matrix(seed, with_sensitivity):
    weights = np.diag(np.geomspace(0.1, 3, 8)) if with_sensitivity else None
    kernel, _, moments, _, _ = layer(seed, noise=0.2, sensitivity=weights)
    error = refit(kernel, moments)[2]
    for rank in (3, 8):
        assert error <= decompose(kernel, *plain(kernel), rank, moments).error + 1e-9


@pytest.mark.parametrize("rows", [20, 60])
def test_few_rows_with_noise_do_not_carry_the_kernel_away(rows):
    # What the inputs miss has nothing to do with them. Least squares would follow it all the same.
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(50, 10))
    x, noise = rng.normal(size=(rows, 50)), 3 * rng.normal(size=(rows, 10))
    y = x @ kernel + noise
    train, bias, _ = decompose(kernel, *plain(kernel), 10, moments_of(x, y))
    fresh = rng.normal(size=(1000, 50))
    careful = np.mean((fresh @ (train.to_dense() - kernel) + bias) ** 2)
    fitted = np.linalg.lstsq(x - x.mean(0), y - y.mean(0))[0]
    assert careful < 0.3 * np.mean((fresh @ (fitted - kernel)) ** 2)


def test_directions_that_calibration_never_shows_are_kept():
    # Ten rows in two of 30 directions; rank 12 has room for those and for what else W does most.
    rng = np.random.default_rng(0)
    strong = np.diag(np.r_[np.full(10, 5.0), np.full(20, 0.1)])
    kernel = strong @ np.linalg.qr(rng.normal(size=(30, 30)))[0]
    x = np.zeros((10, 30))
    x[:, 20:22] = rng.normal(size=(10, 2))
    train, _, _ = decompose(kernel, *plain(kernel), 12, moments_of(x, x @ kernel))
    lost = np.linalg.norm(train.to_dense() - kernel, axis=1) / np.linalg.norm(kernel, axis=1)
    assert np.all(lost[[*range(10), 20, 21]] < 1e-6)


@pytest.mark.parametrize("modes", [((12, 1), (1, 8)), ((3, 4), (4, 2))])
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize(
    "inputs",
    [
        lambda rng, rows: np.zeros((rows, 12)),
        lambda rng, rows: np.full((rows, 12), 1e3),
        lambda rng, rows: rng.normal(size=(rows, 1)) @ rng.normal(size=(1, 12)),
        lambda rng, rows: rng.normal(size=(rows, 12)) * np.geomspace(1, 1e-12, 12),
        lambda rng, rows: rng.normal(size=(rows, 12)) * 1e-30,
    ],
    ids=["zero", "constant", "one direction", "ill-conditioned", "tiny"],
)
def test_poor_calibration_data_gives_finite_and_sensible_results(modes, rows, inputs):
    rng = np.random.default_rng(0)
    kernel, x = rng.normal(size=(12, 8)), inputs(rng, rows)
    train, bias, error = decompose(kernel, *modes, 3, moments_of(x, x @ kernel))
    assert np.all(np.isfinite(bias))
    assert 0 <= error <= 1
    # Without anything learned it would be TT-SVD; it stays a matrix of the kernel's size.
    assert np.linalg.norm(train.to_dense()) < 2 * np.linalg.norm(kernel)


def test_a_layer_that_does_nothing_has_no_error():
    moments = moments_of(np.eye(4), np.zeros((4, 3)))
    train, bias, error = decompose(np.zeros((4, 3)), (4, 1), (1, 3), 2, moments)
    assert not train.to_dense().any()
    assert not bias.any()
    assert error == 0
    assert decompose(np.zeros((4, 3)), (2, 2), (3, 1), 2).error == 0
    np.testing.assert_array_equal(low_rank_errors(np.zeros((4, 3)), moments), np.zeros(3))
    np.testing.assert_array_equal(low_rank_errors(np.zeros((4, 3))), np.zeros(3))


@given(SEEDS)
def test_a_sensitivity_turns_the_error_to_the_outputs_that_matter(seed):
    weights = np.diag([1.0, 1.0, *[1e-4] * 6])
    kernel, _, moments, x, y = layer(seed, sensitivity=weights)
    even = layer(seed)[2]

    def lost(given_moments):
        train, bias, _ = decompose(kernel, *plain(kernel), 2, given_moments)
        return np.sum((x @ train.to_dense() + bias - y)[:, :2] ** 2)

    assert lost(moments) <= lost(even) * (1 + 1e-6)
    np.testing.assert_allclose(
        decompose(kernel, *plain(kernel), 8, moments).matrix.to_dense(), kernel, atol=1e-6
    )


@given(mode_pairs(max_size=400), st.integers(1, 3), SEEDS)
def test_without_moments_it_is_tt_svd(modes, rank, seed):
    kernel = np.random.default_rng(seed).normal(size=(np.prod(modes[0]), np.prod(modes[1])))
    bias = np.ones(kernel.shape[1])
    train, same, error = decompose(kernel, *modes, rank, bias=bias)
    expected = TTMatrix.from_dense(kernel, *modes, rank).to_dense()
    np.testing.assert_allclose(train.to_dense(), expected, atol=1e-12)
    np.testing.assert_array_equal(same, bias)
    lost = np.linalg.norm(kernel - expected) / np.linalg.norm(kernel)
    np.testing.assert_allclose(error, lost**2, atol=1e-12)
    assert decompose(kernel, *modes, rank).bias is None


EYE = np.eye(4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((EYE[0], (4, 1), (1, 4), 2), r"finite matrix\. Received: an array of shape \(4,\)"),
        ((EYE * np.nan, (4, 1), (1, 4), 2), r"finite matrix\. Received.*finite: False"),
        ((EYE, (3, 1), (1, 4), 2), "product is the dimension 4"),
        ((EYE, (4, 1), (1, 4), 0), "Expected `ranks`"),
        ((EYE, (4, 1), (1, 4), 0, moments_of(EYE, EYE)), "Expected `ranks`"),
        ((EYE, (2, 2), (3, 2), 2, moments_of(EYE, EYE)), "product is the dimension 4"),
        ((EYE, (4, 1), (1, 4), 2, Moments()), "one row or more.*Received: 0 rows"),
        ((EYE, (4, 1), (1, 4), 2, moments_of(EYE, EYE[:, :3])), r"Received: 4 rows.*\(4, 3\)"),
        ((EYE, (4, 1), (1, 4), 2, None, np.ones(3)), r"finite `bias` of shape \(4,\)"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        decompose(*arguments)
