import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.language_model.model import build_model
from examples.language_model.rotation import rotated, rotation
from tests.examples.language_model.test_model import ARCHITECTURES, windows


def with_weights(layers):
    """A model all of whose weights matter, and one of whose stream's channels stands out."""
    model = build_model(ARCHITECTURES[layers], last_only=True)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if "norm" in layer.name:
            scale, shift = rng.uniform(0.5, 2, 32), rng.normal(size=32)
            layer.set_weights([scale, shift])
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(rng.normal(size=layer.bias.shape))
    contract = model.get_layer("block_1_contract")
    contract.bias.assign(np.where(np.arange(32) == 5, 60.0, contract.bias))
    return model


def stream(model):
    """What the last normalization is given."""
    inner = keras.Model(model.inputs, model.get_layer("norm").input)
    return inner.predict(windows(20), verbose=0)


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_the_rotated_model_gives_the_same_without_a_channel_that_stands_out(layers):
    model = with_weights(layers)
    turned = rotated(model, ARCHITECTURES[layers])
    np.testing.assert_allclose(
        turned.predict(windows(), verbose=0), model.predict(windows(), verbose=0), atol=1e-3
    )
    before, after = (np.abs(x).max(0) / np.median(np.abs(x)) for x in map(stream, (model, turned)))
    assert before[5] == before.max() > 3 * after.max()


def test_cut_ranks_are_taken_over():
    model = build_model(ARCHITECTURES["tt"], last_only=True)
    ranks = {"table_1": 5, "block_1_query": 3, "block_1_contract": 2}
    for name, rank in ranks.items():
        model.get_layer(name).truncate(rank)
    turned = rotated(model, ARCHITECTURES["tt"])
    assert {name: turned.get_layer(name).ranks[1] for name in ranks} == ranks
    assert turned.get_layer("head_1").ranks[1] == 5
    np.testing.assert_allclose(
        turned.predict(windows(), verbose=0), model.predict(windows(), verbose=0), atol=1e-5
    )


def test_a_channel_that_the_last_normalization_leaves_out_is_refused():
    model = build_model(ARCHITECTURES["dense"], last_only=True)
    norm = model.get_layer("norm")
    norm.gamma.assign(np.where(np.arange(32) < 2, 0.0, 1.0))
    with pytest.raises(ValueError, match="zero for 2 of 32 channels"):
        rotated(model, ARCHITECTURES["dense"])


@given(st.integers(2, 40))
def test_a_rotation_is_orthogonal_and_keeps_the_mean(width):
    turn = rotation(width)
    np.testing.assert_allclose(turn @ turn.T, np.eye(width), atol=1e-12)
    np.testing.assert_allclose(turn.sum(0), np.ones(width), atol=1e-12)
