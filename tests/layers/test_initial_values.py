"""Layers whose cores still have the values that were drawn for them can be drawn again."""

import keras
import numpy as np
import pytest

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.layers.resizing import resize

X = np.random.default_rng(0).normal(size=(32, 12)).astype("float32")


def model_of(layer):
    if isinstance(layer, TTEmbedding):
        return keras.Sequential([keras.Input((3,), dtype="int32"), layer])
    return keras.Sequential([keras.Input((12,)), layer])


LAYERS = {
    "dense": lambda: TTDense(12),
    "of zeros": lambda: TTDense(12, core_initializer="zeros"),
    "orthogonal": lambda: TTDense(12, core_initializer="orthogonal"),
    "einsum": lambda: TTEinsumDense("ab,bcd->acd", (3, 4)),
    "table": lambda: TTEmbedding(30, 8),
    "bfloat16": lambda: TTDense(12, dtype="bfloat16"),
}


@pytest.mark.parametrize("make", LAYERS.values(), ids=list(LAYERS))
def test_a_layer_knows_whether_it_was_drawn(make):
    layer = make()
    model_of(layer)
    assert layer.is_untrained
    other = make()
    model_of(other)
    if np.any(other.to_dense()):
        layer.set_weights(other.get_weights())
        assert not layer.is_untrained
    layer.cores[0].assign(layer.cores[0] + 0.1)
    assert not layer.is_untrained


def test_a_step_of_training_is_noticed():
    model = model_of(layer := TTDense(12))
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(X, X, batch_size=8, epochs=1, verbose=0)
    assert not layer.is_untrained


def test_loaded_weights_are_no_drawn_ones(tmp_path):
    model = model_of(layer := TTDense(12))
    model.save(tmp_path / "model.keras")
    [loaded] = keras.saving.load_model(tmp_path / "model.keras").layers
    np.testing.assert_array_equal(loaded.to_dense(), layer.to_dense())
    assert not loaded.is_untrained


def test_drawn_again_it_has_its_initial_variance_at_other_ranks():
    layer = TTDense(64, 2)
    keras.Sequential([keras.Input((64,)), layer])
    before = layer.to_dense()
    resize([layer.plan_redraw(6)])
    assert layer.ranks == (1, 6, 1)
    assert layer.is_untrained
    np.testing.assert_allclose(np.std(layer.to_dense()), np.std(before), rtol=0.1)
    values = layer.bond_singular_values()[0]
    # All ranks begin alike; a rank that grows begins with zero.
    assert values[5] > 0.2 * values[0]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="built layer"):
        TTDense(12).plan_redraw(2)
    layer = TTDense(12)
    layer.build((None, 12))
    with pytest.raises(ValueError, match="rank"):
        layer.plan_redraw(0)
    assert layer.is_untrained
