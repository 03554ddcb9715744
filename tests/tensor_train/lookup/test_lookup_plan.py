import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from dart_keras.layers.lookup import lookup
from dart_keras.tensor_train.lookup import lookup_plan as plan_module
from dart_keras.tensor_train.lookup import plan_lookup
from dart_keras.tensor_train.lookup.lookup_plan import expected_distinct
from tests.lookups import BERT, all_plans

SHAPES = [
    ((4, 5), (3, 2), (1, 3, 1)),
    ((2, 3, 4), (3, 2, 2), (1, 3, 5, 1)),
    ((24, 1), (1, 16), (1, 4, 1)),
    ((2, 1, 3, 2), (2, 4, 1, 3), (1, 2, 1, 3, 1)),
]


def multiply_adds(plan, gradients):
    """Return the multiply-adds of the products in TensorFlow's graph."""
    inputs, outputs, ranks = plan.input_modes, plan.output_modes, plan.ranks
    shapes = list(zip(ranks, inputs, outputs, ranks[1:], strict=False))

    def rows(ids, *cores):
        with tf.GradientTape() as tape:
            tape.watch(cores)
            found = lookup(ids, cores, plan)
        return tape.gradient(found, cores) if gradients else found

    specs = [tf.TensorSpec((plan.count,), tf.int32), *(tf.TensorSpec(s) for s in shapes)]
    total = 0
    for operation in tf.function(rows).get_concrete_function(*specs).graph.get_operations():
        if "MatMul" in operation.type:
            left = operation.inputs[0].shape.as_list()
            flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
            inner = left[-2] if operation.get_attr(flag) else left[-1]
            total += math.prod(operation.outputs[0].shape.as_list()) * inner
    return total


@pytest.mark.parametrize("shape", SHAPES)
def test_multiply_adds_match_tensorflows_graph(shape):
    for plan in all_plans(100, shape, dynamic_shapes=False):
        assert plan.blocks == 1
        assert plan.forward.multiply_adds == multiply_adds(plan, gradients=False), plan
        assert plan.multiply_adds == multiply_adds(plan, gradients=True), plan


def test_two_cores_by_hand():
    count, r, (m1, m2) = 4096, 16, BERT[1]
    plan = next(iter(all_plans(count, BERT)))
    assert plan.multiply_adds == 3 * count * m1 * r * m2
    assert plan.forward.multiply_adds == count * m1 * r * m2
    slices = count * r * (m1 + m2)
    assert plan.forward.bytes_moved == 4 * (2 * slices + slices + count * m1 * m2)
    assert plan.bytes_moved == plan.cost.bytes_moved
    assert plan.microseconds == plan.forward.microseconds + plan.backward.microseconds


def test_without_training_the_cost_is_forward_only():
    plan = plan_lookup(64, *BERT)
    assert plan.cost == plan.forward


def test_grouping_keeps_the_multiply_adds():
    for grouped in all_plans(3200, ((100, 32), (4, 8), (1, 4, 1)), training=False):
        if grouped.factors[-1].grouped and not grouped.is_distinct:
            assert grouped.multiply_adds == 3200 * 4 * 4 * 8


def test_blocks_grow_with_ids_and_elements_per_id(monkeypatch):
    shape = ((50, 40), (6, 5), (1, 4, 1))
    per_id = 2 * 4 * (6 + 5)

    def blocks(count):
        plan = next(iter(all_plans(count, shape)))
        assert len(plan.factors) == 2
        return plan.blocks

    monkeypatch.setattr(plan_module, "BLOCK_ELEMENTS", 100 * per_id)
    assert [blocks(count) for count in (1, 100, 101, 300, 10**6)] == [1, 1, 2, 3, 8]
    whole = next(plan for plan in all_plans(10**4, shape) if len(plan.factors) == 1)
    assert whole.blocks == 1


def test_plan_prints_itself():
    plan = plan_lookup(4096, (32, 32, 30), (8, 8, 12), (1, 16, 16, 1), training=True)
    text = repr(plan)
    assert text == str(plan) == plan.explain()
    assert "4096 ids, modes 32x32x30 / 8x8x12, ranks (1, 16, 16, 1), estimated for cpu" in text
    assert f"{plan.forward.multiply_adds:,}" in text
    assert f"{plan.backward.multiply_adds:,}" in text
    assert "G1 G2 merged: 1024 slices 1 x 64 x 16, gathered for each id" in text
    assert "G3: 30 slices 16 x 12 x 1, gathered for each id, one product for each id" in text


def test_table_names_every_step():
    texts = [plan.explain() for plan in all_plans(200, ((6, 5, 1), (2, 3, 4), (1, 3, 4, 1)))]
    for words in (
        "equal ids are computed once",
        "ids grouped by their digit",
        "one product for all ids",
        "brought into the order",
        "backward",
    ):
        assert any(words in text for text in texts), words
    [forward_only] = {
        "backward" in plan.explain() for plan in all_plans(200, SHAPES[0], training=False)
    }
    assert not forward_only


@pytest.mark.parametrize(
    ("count", "vocabulary"), [(4096, 30_522), (100, 100), (10, 10), (3000, 50), (64, 10**6)]
)
def test_expected_distinct_ids_are_the_mean_of_both_kinds_of_batches(count, vocabulary):
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, vocabulary + 1)
    kinds = [np.full(vocabulary, 1 / vocabulary), shares / shares.sum()]
    counted = [len(np.unique(rng.choice(vocabulary, count, p=p))) for p in kinds for _ in range(20)]
    assert expected_distinct(count, vocabulary) == pytest.approx(np.mean(counted), rel=0.05)


@given(st.integers(1, 10**6), st.integers(1, 2**25))
def test_there_is_at_least_one_distinct_id_and_no_more_than_there_can_be(count, vocabulary):
    assert 1 <= expected_distinct(count, vocabulary) <= min(count, vocabulary)
