import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers.lookup_steps import gather_rows, per_group, per_id, places, slices_of

RNG = np.random.default_rng(0)
DIGITS = tf.constant([2, 0, 2, 1, 2])


def test_gathered_rows():
    table = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(gather_rows(table, tf.constant([3, 0, 3])), table[[3, 0, 3]])


def test_slices_are_flat():
    table = tf.constant(RNG.normal(size=(3, 2, 4)))
    found = slices_of(table, DIGITS)
    np.testing.assert_array_equal(found, tf.reshape(tf.gather(table, DIGITS), (5, 8)))


@pytest.mark.parametrize("way", [per_id, per_group])
def test_states_are_multiplied_by_the_slices_of_their_ids(way):
    table = RNG.normal(size=(3, 2, 4))
    state = RNG.normal(size=(5, 3, 2))
    expected = state @ table[DIGITS.numpy()]
    found = way(tf.reshape(state, (5, 6)), tf.constant(table), DIGITS)
    np.testing.assert_allclose(found, expected.reshape(5, 12))


def test_digit_with_one_value_needs_one_product():
    table, state = RNG.normal(size=(1, 2, 4)), RNG.normal(size=(5, 6))

    @tf.function
    def product(state):
        return per_group(state, tf.constant(table), tf.zeros(5, tf.int32))

    expected = state.reshape(5, 3, 2) @ table[0]
    np.testing.assert_allclose(product(tf.constant(state)), expected.reshape(5, 12))
    kinds = [
        op.type for op in product.get_concrete_function(tf.constant(state)).graph.get_operations()
    ]
    assert kinds.count("MatMul") == 1
    assert "DynamicPartition" not in kinds


def test_places_of_digits():
    found = [list(part) for part in places(DIGITS, 4)]
    assert found == [[1], [3], [0, 2, 4], []]
