import keras
import numpy as np
import pytest
import tensorflow as tf

from dart_keras.layers.rank_gates import RankGates

MODES = ((4, 4, 4), (2, 2, 2))
RANKS = (1, 5, 3, 1)


@keras.saving.register_keras_serializable("dart_keras_tests")
def sum_of_ranks(ranks):
    return keras.ops.sum(keras.ops.stack(ranks))


def built(**arguments):
    gates = RankGates(
        RANKS, *MODES, **{"strength": 0.5, "temperature": 1.0, "seed": 3, **arguments}
    )
    gates.build()
    return gates


def ones():
    shapes = zip(RANKS, *MODES, RANKS[1:], strict=False)
    return [tf.ones(shape) for shape in shapes]


def kept(gated):
    """Return the number of nonzero slices of each bond, and check that they come first."""
    counts = []
    for core in gated[:-1]:
        slices = np.asarray(core)[0, 0, 0]
        assert set(slices.tolist()) <= {0.0, 1.0}
        assert np.all(np.diff(slices) <= 0)
        np.testing.assert_array_equal(core, np.broadcast_to(slices, core.shape))
        counts.append(int(slices.sum()))
    np.testing.assert_array_equal(gated[-1], 1)
    return tuple(counts)


def test_outside_training_the_likeliest_rank_is_used():
    gates = built()
    gates.logits[0].assign([0, 0, 9, 0, 0])
    gates.logits[1].assign([0, 4, 0])
    for training in (False, None):
        assert kept(gates(ones(), training=training)) == (3, 2)
    assert gates.selected_ranks() == (1, 3, 2, 1)
    assert gates.losses == []


def test_drawn_mask_is_hard_and_nested_and_changes_with_every_step():
    gates = built()
    drawn = {kept(gates(ones(), training=True)) for _ in range(60)}
    assert len(drawn) > 8
    assert {first for first, _ in drawn} == {1, 2, 3, 4, 5}
    assert {second for _, second in drawn} == {1, 2, 3}


def test_ranks_are_drawn_with_the_probabilities_of_their_logits():
    gates = built()
    gates.logits[0].assign(np.log([0.1, 0.2, 0.4, 0.2, 0.1]))
    counts = np.bincount([kept(gates(ones(), training=True))[0] for _ in range(400)], minlength=6)[
        1:
    ]
    np.testing.assert_allclose(counts / 400, [0.1, 0.2, 0.4, 0.2, 0.1], atol=0.08)


def test_gradient_reaches_the_logits():
    gates = built(strength=0.0)
    with tf.GradientTape() as tape:
        gated = gates(ones(), training=True)
        loss = sum(tf.reduce_sum(core) for core in gated)
    for slope in tape.gradient(loss, [v.value for v in gates.logits]):
        slope = np.asarray(slope)
        assert np.any(slope != 0)
        # More slices have a larger loss, so the gradient favours small ranks.
        assert slope[0] < slope[-1]
        assert abs(slope.sum()) < 1e-4


def test_cost_lowers_the_expected_ranks():
    gates = built()
    before = gates.expected_ranks()
    assert before == pytest.approx([3.0, 2.0])
    for _ in range(20):
        with tf.GradientTape() as tape:
            gates(ones(), training=True)
            loss = gates.losses[-1]
        variables = [v.value for v in gates.logits]
        for variable, slope in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(5.0 * slope)
    assert all(now < then - 0.2 for now, then in zip(gates.expected_ranks(), before, strict=True))


def test_cost_is_the_expected_share_of_the_parameters():
    gates = built()
    gates(ones(), training=True)
    # Ranks 3 and 2 instead of 5 and 3, eight elements per slice.
    share = (3 + 3 * 2 + 2) / (5 + 5 * 3 + 3)
    assert float(gates.losses[-1]) == pytest.approx(0.5 * share, rel=1e-5)


def test_custom_cost():
    gates = built(cost=sum_of_ranks)
    gates(ones(), training=True)
    assert float(gates.losses[-1]) == pytest.approx(0.5 * (3 + 2), rel=1e-5)


def test_low_temperature_makes_the_soft_mask_nearly_hard():
    gates = built(temperature=0.01)
    gates.logits[0].assign([0, 0, 50, 0, 0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gates(ones(), training=True)[0])
    assert np.abs(np.asarray(tape.gradient(loss, gates.logits[0].value))).max() < 1e-3
    assert float(gates.temperature) == pytest.approx(0.01)


def test_config():
    gates = built(cost=sum_of_ranks, name="gates")
    config = keras.saving.serialize_keras_object(gates)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == gates.get_config()
    assert again.cost is sum_of_ranks
    draws = [[kept(g(ones(), training=True)) for _ in range(5)] for g in (gates, again)]
    assert draws[0] == draws[1]


def test_gates_of_other_ranks_go_on_drawing():
    gates = built()
    gates(ones(), training=True)
    state = np.array(gates.seed_generator.state)
    np.testing.assert_array_equal(gates.resized(RANKS).seed_generator.state, state)


def test_saved_gates_go_on_drawing():
    gates, again, store = built(seed=None), built(seed=None), {}
    gates(ones(), training=True)
    gates.save_own_variables(store)
    again.load_own_variables(store)
    draws = [[kept(g(ones(), training=True)) for _ in range(5)] for g in (gates, again)]
    assert draws[0] == draws[1]


def test_variables_of_an_earlier_version_are_loaded_without_the_seed():
    gates, again, store = built(seed=1), built(seed=2), {}
    gates.logits[0].assign([1, 2, 3, 4, 5])
    gates.save_own_variables(store)
    del store["seed_state"]
    again.load_own_variables(store)
    np.testing.assert_array_equal(again.logits[0], [1, 2, 3, 4, 5])


def test_temperature_is_not_trainable():
    gates = built()
    assert [v.name for v in gates.trainable_variables] == ["logits_1", "logits_2"]
    assert [v.name for v in gates.non_trainable_weights] == ["temperature"]
