import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.language_model.model import build_model
from examples.language_model.rotation import rotate, rotation
from tests.examples.language_model.test_model import ARCHITECTURES, windows


def with_weights(layers):
    """Return a model with random weights and one outlier channel in its stream."""
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
    """Return the inputs of the last normalization."""
    inner = keras.Model(model.inputs, model.get_layer("norm").input)
    return inner.predict(windows(20), verbose=0)


@pytest.mark.parametrize("layers", ARCHITECTURES)
def test_rotated_model_has_the_same_outputs_and_no_outlier_channel(layers):
    model = with_weights(layers)
    turned = rotate(model, ARCHITECTURES[layers])
    np.testing.assert_allclose(
        turned.predict(windows(), verbose=0), model.predict(windows(), verbose=0), atol=1e-3
    )
    before, after = (np.abs(x).max(0) / np.median(np.abs(x)) for x in map(stream, (model, turned)))
    assert before[5] == before.max() > 3 * after.max()


def test_truncated_ranks_are_kept():
    model = build_model(ARCHITECTURES["tt"], last_only=True)
    ranks = {"table_1": 5, "block_1_query": 3, "block_1_contract": 2}
    for name, rank in ranks.items():
        model.get_layer(name).truncate(rank)
    turned = rotate(model, ARCHITECTURES["tt"])
    assert {name: turned.get_layer(name).ranks[1] for name in ranks} == ranks
    assert turned.get_layer("head_1").ranks[1] == 5
    np.testing.assert_allclose(
        turned.predict(windows(), verbose=0), model.predict(windows(), verbose=0), atol=1e-5
    )


def test_zero_scale_in_the_last_normalization_is_refused():
    model = build_model(ARCHITECTURES["dense"], last_only=True)
    norm = model.get_layer("norm")
    norm.gamma.assign(np.where(np.arange(32) < 2, 0.0, 1.0))
    with pytest.raises(ValueError, match="zero for 2 of 32 channels"):
        rotate(model, ARCHITECTURES["dense"])


@given(st.integers(2, 40))
def test_rotation_is_orthogonal_and_keeps_the_mean(width):
    turn = rotation(width)
    np.testing.assert_allclose(turn @ turn.T, np.eye(width), atol=1e-12)
    np.testing.assert_allclose(turn.sum(0), np.ones(width), atol=1e-12)
