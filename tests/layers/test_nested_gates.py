import itertools

import keras
import numpy as np
import pytest
from keras import ops

from dart_keras.layers import TTDense
from dart_keras.layers.nested_gates import NestedGates
from dart_keras.selection.rank_shares import rank_shares

RANKS = (1, 6, 3, 1)
X = np.random.default_rng(0).normal(size=(5, 16)).astype("float32")


def built(ranks=RANKS, seed=3):
    gates = NestedGates(ranks, seed)
    gates.build()
    return gates


def outputs(model, training=False):
    return ops.convert_to_numpy(model(X, training=training))


def kept(gates, training=True):
    """Return the ranks in use, and check that the slices in use are the first ones."""
    cores = [ops.ones((left, 2, 2, right)) for left, right in itertools.pairwise(gates.ranks)]
    counts = []
    for core in gates(cores, training=training)[:-1]:
        slices = ops.convert_to_numpy(core)[0, 0, 0]
        assert np.all(np.diff(slices) <= 0)
        np.testing.assert_array_equal(core, np.broadcast_to(slices, core.shape))
        counts.append(int(slices.sum()))
    return (1, *counts, 1)


def test_in_training_all_bonds_keep_one_share_of_their_slices():
    gates = built()
    seen = [kept(gates) for _ in range(100)]
    assert {(ranks,) for ranks in seen} == set(map(tuple, rank_shares([RANKS])))
    # Uniform: each of the six ranks about as often.
    assert min(np.bincount([ranks[1] for ranks in seen])[1:]) > 5


def test_gates_of_one_seed_draw_the_same_shares():
    ours, theirs = built((1, 6, 1)), built((1, 12, 1))
    for _ in range(20):
        (_, one, _), (_, other, _) = kept(ours), kept(theirs)
        assert one == -(-other // 2)


@pytest.mark.parametrize("training", [False, None])
def test_outside_training_all_slices_are_used(training):
    gates = built()
    assert kept(gates, training) == gates.selected_ranks() == RANKS
    assert (gates.losses, gates.weights, gates.penalty()) == ([], [], 0)


def test_a_layer_goes_on_drawing_after_it_is_resized_or_saved(tmp_path):
    layer = TTDense(16, ranks=8)
    model = keras.Sequential([keras.Input((16,)), layer])
    layer.add_rank_gates(built(layer.ranks))
    whole = outputs(model)
    outputs(model, training=True)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].rank_gates.ranks == (1, 8, 1)
    np.testing.assert_allclose(outputs(again), whole, atol=1e-6)
    for _ in range(5):
        np.testing.assert_allclose(outputs(again, True), outputs(model, True), atol=1e-6)
    layer.truncate(4)
    states = [each.layers[0].rank_gates.seed_generator.state for each in (model, again)]
    np.testing.assert_array_equal(*map(ops.convert_to_numpy, states))
    assert layer.rank_gates.ranks == (1, 4, 1)


def test_weights_are_loaded_with_and_without_gates(tmp_path):
    models = [keras.Sequential([keras.Input((16,)), TTDense(16, ranks=4)]) for _ in range(2)]
    plain, gated = models
    gated.layers[0].add_rank_gates(built((1, 4, 1)))
    gated.save_weights(tmp_path / "gated.weights.h5")
    plain.load_weights(tmp_path / "gated.weights.h5")
    np.testing.assert_allclose(outputs(plain), outputs(gated), atol=1e-6)
    plain.layers[0].bias.assign(np.ones(16))
    plain.save_weights(tmp_path / "plain.weights.h5")
    gated.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_allclose(outputs(gated), outputs(plain), atol=1e-6)
