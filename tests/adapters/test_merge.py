import keras
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.test_adapt import dense_stack, predictions, subclassed

X = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")


def randomized(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) / 4)
    return model


def test_the_merged_model_is_plain_and_shares_nothing():
    base = dense_stack()
    adapted = randomized(adapters.adapt(base, adapters.TTLoRA(rank=2), ["hidden"], ["logits"]))
    before = predictions(adapted, X)
    merged = adapters.merge(adapted)
    assert type(merged) is keras.Sequential
    assert [type(layer) for layer in merged.layers] == [keras.layers.Dense] * 2
    assert merged.get_config()["layers"][1]["config"]["activation"] == "relu"
    np.testing.assert_allclose(predictions(merged, X), before, rtol=1e-5, atol=1e-5)
    for variable in merged.weights:
        variable.assign(np.zeros(variable.shape))
    assert np.array_equal(predictions(adapted, X), before)
    assert len(merged.trainable_variables) == 4


def test_a_subclassed_model_is_plain_again(tmp_path):
    x = X[:, :8]
    adapted = randomized(adapters.adapt(subclassed(), adapters.LoRA(rank=1), ["block_0"]))
    merged = adapters.merge(adapted)
    assert type(merged) is type(subclassed())
    np.testing.assert_allclose(predictions(merged, x), predictions(adapted, x), rtol=1e-4)


def test_a_tied_table_is_merged_for_both_directions():
    ids = keras.Input((4,), dtype="int32")
    table = keras.layers.ReversibleEmbedding(12, 8, name="table")
    base = keras.Model(ids, table(ids))
    adapted = randomized(adapters.adapt(base, adapters.LoRA(rank=2), ["table"]))
    merged = adapters.merge(adapted)
    rows = np.random.default_rng(0).normal(size=(3, 8)).astype("float32")
    for inputs, arguments in ((np.arange(12)[None], {}), (rows, {"reverse": True})):
        expected, received = (
            keras.ops.convert_to_numpy(model.get_layer("table")(inputs, **arguments))
            for model in (adapted, merged)
        )
        np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_weights_that_are_not_finite_are_refused(value):
    adapted = randomized(adapters.adapt(dense_stack(), adapters.LoRA(rank=1), ["hidden"]))
    adapted.trainable_variables[1].assign(np.full((1, 1, 16, 1), value))
    with pytest.raises(ValueError, match=r"Layer 'hidden' cannot be merged. Expected finite"):
        adapters.merge(adapted)


def test_a_model_without_adapters_is_refused():
    with pytest.raises(ValueError, match="Expected a model with adapters"):
        adapters.merge(dense_stack())


@pytest.mark.parametrize("limit", [{"rank": 3}, {"threshold": 1e-6}], ids=["rank", "threshold"])
def test_tensor_trains_become_lora(limit, tmp_path):
    base = dense_stack()
    adapted = randomized(adapters.adapt(base, adapters.TTLoRA(rank=3), ["hidden"], ["logits"]))
    lora = adapters.to_lora(adapted, **limit)
    np.testing.assert_allclose(predictions(lora, X), predictions(adapted, X), atol=1e-4)
    update = lora.layers[0].adapters["default"].update
    assert update.input_modes == (16, 1)
    assert update.ranks == (1, 3, 1)
    adapters.save(lora, tmp_path / "some.adapter")
    loaded = adapters.load(base, tmp_path / "some.adapter")
    np.testing.assert_allclose(predictions(loaded, X), predictions(lora, X), rtol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"rank": 2, "threshold": 0.1}, {"rank": 0}, {"threshold": 1}, {"rank": 2, "name": "no"}],
    ids=str,
)
def test_bad_limits_are_refused(arguments):
    adapted = adapters.adapt(dense_stack(), adapters.TTLoRA(rank=3), ["hidden"])
    with pytest.raises(ValueError, match="Expected"):
        adapters.to_lora(adapted, **arguments)
