import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers import TTEmbedding
from dart_keras.layers.lookup import lookup
from dart_keras.layers.lookup_gradient import repeated_rows
from tests.lookups import all_plans
from tests.tt_matrices import random_tt_matrix

RNG = np.random.default_rng(0)
TRAIN = ((4, 3, 5), (2, 3, 2), (1, 3, 4, 1))


def plan_with(**wanted):
    """Return the first plan for the shape above that has these attributes."""
    for plan in all_plans(5000, TRAIN):
        plan_has = {
            "factors": len(plan.factors),
            "grouped": any(factor.grouped for factor in plan.factors),
            "is_distinct": plan.is_distinct,
        }
        if wanted.items() <= plan_has.items():
            return plan
    raise AssertionError(wanted)


def test_second_derivatives():
    cores = [tf.constant(core) for core in random_tt_matrix(*TRAIN).cores]
    ids = tf.constant([7, 0, 7, 59])

    def second(plan):
        with tf.GradientTape() as outer:
            outer.watch(cores)
            with tf.GradientTape() as inner:
                inner.watch(cores)
                loss = tf.reduce_sum(lookup(ids, cores, plan) ** 3)
            first = inner.gradient(loss, cores)
            norm = sum(tf.reduce_sum(tf.convert_to_tensor(g) ** 2) for g in first)
        return [tf.convert_to_tensor(g) for g in outer.gradient(norm, cores)]

    expected = second(plan_with(factors=1, is_distinct=False))
    for wanted in ({"grouped": False}, {"grouped": True}, {"is_distinct": True}):
        found = second(plan_with(factors=3, **wanted))
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("grouped", [False, True])
def test_gradients_in_half_precision_are_summed_in_float32(grouped):
    plan = plan_with(factors=3, grouped=grouped, is_distinct=False)
    cores = [tf.constant(core, tf.bfloat16) for core in random_tt_matrix(*TRAIN).cores]
    ids = tf.zeros(2000, tf.int32)

    def gradients(ids, scale):
        with tf.GradientTape() as tape:
            tape.watch(cores)
            loss = scale * tf.reduce_sum(tf.cast(lookup(ids, cores, plan), "float32"))
        found = tape.gradient(loss, cores)
        assert {gradient.dtype for gradient in found} == {tf.bfloat16}
        return [np.asarray(tf.cast(gradient, "float32")) for gradient in found]

    for many, one in zip(gradients(ids, 1.0), gradients(ids[:1], 2000.0), strict=True):
        np.testing.assert_allclose(many, one, rtol=0.02, atol=0.02 * np.abs(one).max())


def test_gradient_of_repeated_rows():
    rows, places = tf.constant(RNG.normal(size=(4, 3))), tf.constant([2, 0, 2, 2])
    weights = RNG.normal(size=(4, 3))
    with tf.GradientTape() as tape:
        tape.watch(rows)
        loss = tf.reduce_sum(weights * repeated_rows(rows, places))
    expected = np.zeros((4, 3))
    np.add.at(expected, places.numpy(), weights)
    np.testing.assert_allclose(tape.gradient(loss, rows), expected)


def trained(ids, jit_compile, modes):
    keras.utils.set_random_seed(0)
    layer = TTEmbedding(60, 12, (3, 4), *modes)
    model = keras.Sequential([keras.Input((50,), dtype="int32"), layer])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    targets = np.ones((*ids.shape, 12), "float32")
    model.fit(ids, targets, batch_size=len(ids), epochs=2, verbose=0)
    return layer.to_dense()


@pytest.mark.parametrize("modes", [((4, 3, 5), (2, 3, 2)), ((60, 1, 1), (1, 4, 3))])
def test_training_with_xla_matches_training_without(modes, monkeypatch):
    from dart_keras.tensor_train.lookup import lookup_plan

    monkeypatch.setattr(lookup_plan, "BLOCK_ELEMENTS", 2000)
    ids = RNG.integers(0, 60, (6, 50))
    np.testing.assert_allclose(trained(ids, True, modes), trained(ids, False, modes), atol=1e-6)


def test_training_never_computes_the_table():
    layer = TTEmbedding(30_522, 64, 4, (175, 175), (8, 8))
    layer.build()

    @tf.function
    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(ids, training=True) ** 2)
        return tape.gradient(loss, layer.trainable_variables)

    graph = step.get_concrete_function(tf.TensorSpec((512,), tf.int32)).graph
    sizes = [t.shape.num_elements() or 0 for op in graph.get_operations() for t in op.outputs]
    assert max(sizes) == 512 * 64
