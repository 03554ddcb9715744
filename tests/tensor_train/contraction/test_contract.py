import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.tensor_train.contraction import (
    candidate_plans,
    cheapest_plan,
    contract,
    intercept_products,
)
from tests.tt_matrices import random_tt_matrix, tt_matrices


def plans_for(tt, rows=3, **options):
    return candidate_plans(tt.input_modes, tt.output_modes, tt.ranks, rows, **options)


@pytest.mark.parametrize("target", ["cpu", "raspberry-pi"])
@given(tt=tt_matrices(), rows=st.integers(0, 5))
def test_every_plan_multiplies_by_the_dense_matrix(target, tt, rows):
    x = np.random.default_rng(0).normal(size=(rows, tt.shape[0]))
    expected = x @ tt.to_dense()
    scale = np.abs(expected).max(initial=0) + np.abs(tt.to_dense()).max() + 1
    for plan in plans_for(tt, training=True, target=target):
        np.testing.assert_allclose(contract(x, tt.cores, plan), expected, atol=1e-10 * scale)


def test_gradients_of_all_plans_are_equal():
    tt = random_tt_matrix((2, 3, 2), (3, 2, 2), (1, 3, 4, 1))
    x = np.random.default_rng(0).normal(size=(5, tt.shape[0]))
    gradients = []
    for plan in plans_for(tt, training=True):
        tensors = [tf.constant(x), *map(tf.constant, tt.cores)]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = tf.reduce_sum(tf.sin(contract(tensors[0], tensors[1:], plan)))
        gradients.append(tape.gradient(loss, tensors))
    assert len(gradients) > 5
    for others in gradients[1:]:
        for gradient, other in zip(gradients[0], others, strict=True):
            np.testing.assert_allclose(gradient, other, atol=1e-10)


def test_plan_runs_with_other_numbers_of_rows():
    tt = random_tt_matrix((4, 1, 6), (3, 8, 2), (1, 3, 5, 1))
    cores = [tf.constant(core) for core in tt.cores]
    for plan in plans_for(tt, rows=1):
        run = tf.function(
            lambda x, plan=plan: contract(x, cores, plan),
            input_signature=[tf.TensorSpec((None, 24), tf.float64)],
        )
        for rows in (1, 7):
            x = np.random.default_rng(rows).normal(size=(rows, 24))
            np.testing.assert_allclose(run(x), x @ tt.to_dense(), atol=1e-10)


def test_low_rank_factorization_is_only_two_products_of_matrices():
    plan = cheapest_plan((24, 1), (1, 16), (1, 4, 1), rows=None)
    cores = [tf.ones((1, 24, 1, 4)), tf.ones((4, 1, 16, 1))]
    run = tf.function(lambda x: contract(x, cores, plan))
    graph = run.get_concrete_function(tf.TensorSpec((None, 24))).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert kinds.count("MatMul") == 2
    assert not {"Transpose", "BatchMatMulV2"} & set(kinds)


def test_cores_of_other_shapes_than_the_plans_are_refused():
    plan = cheapest_plan((4, 4), (2, 2), (1, 3, 1), rows=5)
    cores = random_tt_matrix((4, 4), (2, 2), (1, 2, 1)).cores
    with pytest.raises(ValueError, match=r"\(1, 4, 2, 3\).*Received.*\(1, 4, 2, 2\)"):
        contract(np.ones((5, 16)), cores, plan)


class Recorded:
    """Doubles the matrices, leaves the results, and records their shapes."""

    def __init__(self):
        self.matrices, self.results = [], []

    def weights(self, step, matrix):
        assert step == len(self.matrices)
        self.matrices.append(tuple(matrix.shape))
        return 2 * matrix

    def result(self, step, tensor):
        assert step == len(self.results)
        self.results.append(int(np.prod(tensor.shape)))
        return tensor


@pytest.mark.parametrize("target", ["cpu", "raspberry-pi"])
@given(tt=tt_matrices(), rows=st.integers(1, 5))
def test_products_with_the_input_can_be_intercepted(target, tt, rows):
    x = np.random.default_rng(0).normal(size=(rows, tt.shape[0]))
    expected = x @ tt.to_dense()
    for plan in plans_for(tt, target=target):
        steps, size = Recorded(), plan.network.size
        with intercept_products(steps):
            changed = contract(x, tt.cores, plan)
        products = plan.input_products
        assert steps.matrices == [(size(p.shared), size(p.new)) for p in products]
        assert steps.results == [size(p.result) * rows // plan.network.rows for p in products]
        scale = 2 ** len(products) * (np.abs(expected).max(initial=0) + np.abs(tt.to_dense()).max())
        np.testing.assert_allclose(changed, 2 ** len(products) * expected, atol=1e-9 * (scale + 1))
        np.testing.assert_allclose(contract(x, tt.cores, plan), expected, atol=1e-9 * (scale + 1))
