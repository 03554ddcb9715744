import pytest

from dart_keras.tensor_train.contraction import candidate_plans, cheapest_plan
from tests.tensor_train.contraction.graphs import multiply_adds, operations, transposes

SHAPES = [
    ((4, 5), (3, 2), (1, 3, 1)),
    ((2, 3, 4), (3, 2, 2), (1, 3, 5, 1)),
    ((24, 1), (1, 16), (1, 4, 1)),
    ((2, 1, 3, 2), (2, 4, 1, 3), (1, 2, 1, 3, 1)),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_match_tensorflows_graph(shape):
    for plan in candidate_plans(*shape, 7, training=True):
        graph = operations(plan)
        assert plan.forward.multiply_adds == multiply_adds(graph), plan
        assert plan.forward.transposes == transposes(graph), plan
        gradient = operations(plan, gradients=True)
        assert plan.backward.multiply_adds == multiply_adds(gradient), plan
        assert plan.backward.transposes == transposes(gradient), plan


def test_two_cores_by_hand():
    # x (7, 4, 5), cores (4, 3, r) and (r, 5, 2) with r = 3.
    plans = {plan.name: plan for plan in candidate_plans(*SHAPES[0], 7, training=True)}
    left = plans["left_to_right"].forward
    assert left.multiply_adds == 7 * (5 * 4 * 3 * 3 + 3 * 5 * 3 * 2)
    assert left.largest_intermediate == 7 * 5 * 3 * 3
    rebuild = plans["rebuild"]
    assert rebuild.forward.multiply_adds == 4 * 3 * 3 * 5 * 2 + 7 * 20 * 6
    assert rebuild.weights == 20 * 6
    assert plans["right_to_left"].weights == 4 * 3 * 3 + 3 * 5 * 2


def test_weights_on_a_device_are_the_merged_cores():
    for plan in candidate_plans((4, 4, 4), (4, 4, 4), (1, 2, 2, 1), 1, target="raspberry-pi"):
        if plan.name == "left_to_right":
            assert plan.weights == 32 + 64 + 32
        if plan.name == "rebuild":
            assert plan.weights == 64 * 64
            assert plan.multiply_adds == 64 * 64  # merged before deployment
            assert plan.peak_elements == 64 + 64


def test_training_cost_is_forward_and_backward():
    plan = cheapest_plan((8, 8), (8, 8), (1, 4, 1), 32, training=True)
    assert plan.multiply_adds == plan.forward.multiply_adds + plan.backward.multiply_adds
    assert plan.microseconds == plan.forward.microseconds + plan.backward.microseconds
    assert plan.cost.bytes_moved == 4 * plan.cost.elements_moved


def test_table_compares_costs_with_a_dense_layer():
    plan = cheapest_plan((8, 4), (4, 8), (1, 4, 1), 16, training=True)
    text = repr(plan)
    assert text == str(plan) == plan.explain()
    assert "16 rows times a matrix 32 x 32" in text
    assert text.count("dense layer") == 2
    assert f"{16 * 32 * 32:,}" in text
    assert "T1[" in text
    assert "G2[" in text
    assert "backward" not in repr(cheapest_plan((8, 4), (4, 8), (1, 4, 1), 16))
