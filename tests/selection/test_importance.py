import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense
from dart_keras.regularizers import GroupLasso
from dart_keras.selection import SelectionMap, Threshold
from dart_keras.selection.importance import importances, non_increasing, rank_gains, ratio_gains

RNG = np.random.default_rng(0)


def without_singular_value(layer, bond, i):
    """The layer's matrix, less one singular value of a bond's unfolding."""
    tt = layer.to_tt()
    tensor = tt.cores[0]
    for core in tt.cores[1:]:
        tensor = np.tensordot(tensor, core, 1)
    shape = tensor.shape[1:-1]  # n_1, m_1, n_2, m_2...
    unfolding = tensor.reshape(int(np.prod(shape[: 2 * bond])), -1)
    u, values, vh = np.linalg.svd(unfolding, full_matrices=False)
    values[i] = 0
    order = [*range(0, len(shape), 2), *range(1, len(shape), 2)]
    return ((u * values) @ vh).reshape(shape).transpose(order).reshape(tt.shape)


def linear_loss(y_true, y_pred):
    return keras.ops.mean(y_true * y_pred, axis=-1)


@pytest.mark.parametrize("modes", [((12, 1), (1, 10)), ((3, 2, 2), (2, 5, 1))])
def test_the_change_of_a_loss_that_is_linear_is_exact(modes):
    layer = TTDense(10, 5, *modes, rank_regularizer=GroupLasso(10.0))
    model = keras.Sequential([keras.Input((12,)), layer])
    model.compile(loss=linear_loss)
    batches = [
        (RNG.normal(size=(8, 12)).astype("float32"), RNG.normal(size=(8, 10)).astype("float32"))
        for _ in range(3)
    ]

    def losses(matrix):
        bias = np.asarray(layer.bias)
        return np.array([np.mean(y * (x @ matrix + bias)) for x, y in batches])

    [found] = importances(model, [layer], batches)
    assert [len(bond) for bond in found] == list(layer.ranks[1:-1])
    before = losses(layer.to_dense())
    for bond, values in enumerate(found, start=1):
        for i, value in enumerate(values):
            change = losses(without_singular_value(layer, bond, i)) - before
            assert value == pytest.approx(np.mean(np.square(change)), rel=1e-3, abs=1e-12)


def test_single_rows_from_a_function_are_worth_what_batches_are():
    layer = TTDense(6, 4, (6, 1), (1, 6))
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(loss="mse")
    x = RNG.normal(size=(64, 6)).astype("float32")
    [[expected]] = importances(model, [layer], [(x[:32], x[:32]), (x[32:], x[32:])])
    [[found]] = importances(model, [layer], lambda: zip(x, x, strict=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_ranks_that_a_matrix_has_not_are_worth_nothing():
    layer = TTDense(6, 4, (6, 1), (1, 6))
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(loss="mse")
    layer.cores[0].assign(layer.cores[0] * [1.0, 1.0, 0.0, 0.0])
    x = RNG.normal(size=(8, 6)).astype("float32")
    [[found]] = importances(model, [layer], [(x, x)])
    assert np.all(found[:2] > 0)
    np.testing.assert_array_equal(found[2:], 0)


def test_no_data():
    layer = TTDense(6, 4)
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(loss="mse")
    with pytest.raises(ValueError, match="at least one batch of calibration data"):
        importances(model, [layer], [])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_closest_sequence_that_never_rises(values):
    expected = isotonic_regression(values, increasing=False).x
    np.testing.assert_allclose(non_increasing(np.array(values)), expected, rtol=1e-9, atol=1e-9)


def unequal_problem():
    """Of two layers of equal singular values, one gets inputs that need its first rank alone."""
    inputs = keras.Input((30,)), keras.Input((30,))
    used, unused = (
        TTDense(12, 8, (30, 1), (1, 12), use_bias=False, name=n) for n in ("used", "unused")
    )
    model = keras.Model(inputs, used(inputs[0]) + unused(inputs[1]))
    unused.set_weights(used.get_weights())
    model.compile(keras.optimizers.SGD(0.0), "mse")
    first = np.linalg.svd(unused.to_dense())[0][:, 0]
    x = RNG.normal(size=(64, 30)), np.outer(RNG.normal(size=64), first)
    return model, [each.astype("float32") for each in x], RNG.normal(size=(64, 12))


def test_ranks_go_where_the_loss_needs_them():
    model, x, y = unequal_problem()
    data = [((x[0][:32], x[1][:32]), y[:32]), ((x[0][32:], x[1][32:]), y[32:])]
    cut = RankDiscretization(Parameters(8 * 42), epoch=1, calibration_data=data)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[cut])
    ranks = {name: model.get_layer(name).ranks[1] for name in ("used", "unused")}
    assert ranks == {"used": 7, "unused": 1}


def test_without_data_ranks_go_where_the_norm_is():
    model, x, y = unequal_problem()
    model.fit(x, y, epochs=2, verbose=0, callbacks=[RankDiscretization(Parameters(8 * 42), 1)])
    assert [model.get_layer(name).ranks[1] for name in ("used", "unused")] == [4, 4]


def test_a_budget_within_a_map_knows_the_data():
    model, x, y = unequal_problem()
    selection = SelectionMap(Threshold(0.9), {".*used": Parameters(8 * 42)})
    cut = RankDiscretization(selection, epoch=1, calibration_data=[(tuple(x), y)])
    model.fit(x, y, epochs=2, verbose=0, callbacks=[cut])
    assert model.get_layer("used").ranks[1] == 7


@pytest.mark.parametrize("data", [np.ones((2, 6)), [(np.ones((2, 6)),) * 3]])
def test_batches_that_are_no_pairs_are_refused_before_training(data):
    model = keras.Sequential([keras.Input((6,)), TTDense(6, 4)])
    model.compile(loss="mse")
    cut = RankDiscretization(Parameters(60), epoch=1, calibration_data=data)
    x = RNG.normal(size=(8, 6)).astype("float32")
    with pytest.raises(ValueError, match=r"pairs of inputs and targets. Received: .* of length"):
        model.fit(x, x, epochs=2, verbose=0, callbacks=[cut])
    assert model.layers[0].ranks == (1, 4, 1)
    assert int(model.optimizer.iterations) == 0


def test_it_reports_its_progress(progress_lines):
    layer = TTDense(6, 4, (6, 1), (1, 6))
    model = keras.Sequential([keras.Input((6,)), layer])
    model.compile(loss="mse")
    batch = (np.ones((4, 6), "float32"), np.ones((4, 6), "float32"))
    importances(model, [layer], [batch] * 5)
    assert progress_lines()["measuring rank importance"].startswith("5 of 5 done in ")
    # How many batches a generator has nobody knows.
    importances(model, [layer], (batch for _ in range(3)))
    assert progress_lines()["measuring rank importance"].startswith("3 done in ")


shares = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


@given(shares)
def test_gains_add_up_to_what_is_removed_against_what_is_kept(values):
    importance = non_increasing(np.array(values))
    gains = ratio_gains(importance)
    assert np.all(np.isfinite(gains))
    assert gains[0] == 0
    assert np.all(gains >= 0)
    if importance[0] > 1e-9:
        removed = importance[1:].sum() / importance[0]
        np.testing.assert_allclose(gains.sum(), removed, atol=1e-6)


@given(shares, st.floats(1e-3, 1e3))
def test_gains_do_not_know_the_unit(values, unit):
    importance = non_increasing(np.array(values))
    if importance[0] > 1e-6:
        scaled = ratio_gains(unit * importance)
        np.testing.assert_allclose(scaled, ratio_gains(importance), atol=1e-9)


def test_a_bond_without_importance_has_nothing_to_gain():
    np.testing.assert_array_equal(ratio_gains(np.zeros(4)), 0)


def test_gains_by_norm_are_those_of_the_squared_singular_values():
    layer = TTDense(6, 4, (6, 1), (1, 6))
    model = keras.Sequential([keras.Input((6,)), layer])
    [[found]] = rank_gains(model, [layer], None)
    values = np.linalg.svd(layer.to_dense(), compute_uv=False)[:4]
    np.testing.assert_allclose(found, ratio_gains(values**2), rtol=1e-4)


def test_a_tiny_rank_gains_little_however_large_its_gradient():
    # Of rank 2, of which the loss sees the second one alone.
    layer = TTDense(4, 2, (4, 1), (1, 4), use_bias=False)
    model = keras.Sequential([keras.Input((4,)), layer])
    left, right = np.eye(4, 2), np.diag([1.0, 1e-3]) @ np.eye(2, 4)
    layer.cores[0].assign(left.reshape(layer.cores[0].shape))
    layer.cores[1].assign(right.reshape(layer.cores[1].shape))
    model.compile(loss=linear_loss)
    x = np.array([[1.0, 1.0, 0.0, 0.0]], "float32")
    batches = [(x, np.array([[1.0, 1e3, 0.0, 0.0]], "float32"))]
    [[importance]] = importances(model, [layer], batches)
    np.testing.assert_allclose(importance[0], importance[1], rtol=1e-3)
    [[gains]] = rank_gains(model, [layer], batches)
    # By the importance alone it would be 1, and by the norm alone 1e-6.
    np.testing.assert_allclose(gains[1] / np.sqrt(importance.sum()), 1e-3, rtol=1e-2)
