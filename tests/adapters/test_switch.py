import keras
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.test_adapt import dense_stack, predictions

X = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")


@pytest.fixture
def two():
    """A pretrained model and a model with two adapters, each with random weights."""
    base = dense_stack()
    model = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"], ["logits"], name="red")
    model = adapters.adapt(model, adapters.LoRA(rank=3), ["hidden", "logits"], name="blue")
    rng = np.random.default_rng(0)
    for layer in model.layers:
        for adapter in layer.adapters.values():
            for weight in adapter.weights:
                weight.assign(rng.normal(size=weight.shape) / 4)
    return base, model


def test_the_first_adapter_is_in_use_and_trained(two):
    _, model = two
    assert {v.path.split("/")[0] for v in model.trainable_variables} == {
        "hidden_red_update",
        "logits",
    }


def test_disabled_is_the_pretrained_model_to_the_bit(two):
    base, model = two
    before = predictions(model, X)
    with adapters.disabled(model):
        assert np.array_equal(predictions(model, X), predictions(base, X))
    assert np.array_equal(predictions(model, X), before)
    assert not np.array_equal(before, predictions(base, X))


def test_others_are_used_without_compiling_again(two):
    _, model = two
    model.compile("adam", "mse", jit_compile=False)
    red = predictions(model, X)
    adapters.active(model, "blue")
    blue = predictions(model, X)
    assert not np.array_equal(red, blue)
    with adapters.active(model, ["red"]):
        assert np.array_equal(predictions(model, X), red)
    assert np.array_equal(predictions(model, X), blue)


def test_weighted_sums():
    base = keras.Sequential([keras.Input((16,)), keras.layers.Dense(16, name="hidden")])
    model = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"], name="red")
    model = adapters.adapt(model, adapters.LoRA(rank=3), ["hidden"], name="blue")
    [layer] = model.layers
    for adapter in layer.adapters.values():
        adapter.update.cores[1].assign(np.ones(adapter.update.cores[1].shape))
    plain = predictions(base, X)
    changes = {}
    for name in ("red", "blue"):
        with adapters.active(model, name):
            changes[name] = predictions(model, X) - plain
    with adapters.active(model, {"red": 0.25, "blue": -2}):
        expected = plain + 0.25 * changes["red"] - 2 * changes["blue"]
        np.testing.assert_allclose(predictions(model, X), expected, rtol=1e-4, atol=1e-4)
        merged = adapters.merge(model)
        np.testing.assert_allclose(predictions(merged, X), expected, rtol=1e-4, atol=1e-4)


def test_other_adapters_are_trained_after_compiling_again(two):
    _, model = two
    adapters.active(model, "blue")
    model.compile("adam", "mse", jit_compile=False)
    red = [keras.ops.convert_to_numpy(w) for w in model.layers[0].adapters["red"].weights]
    model.fit(X, np.ones((8, 3)), verbose=0)
    after = [keras.ops.convert_to_numpy(w) for w in model.layers[0].adapters["red"].weights]
    assert all(np.array_equal(a, b) for a, b in zip(red, after, strict=True))


def test_training_goes_on_after_a_look_at_the_pretrained_model(two):
    _, model = two
    model.compile("adam", "mse", jit_compile=False)
    model.fit(X, np.ones((8, 3)), verbose=0)
    with adapters.disabled(model):
        model.evaluate(X, np.ones((8, 3)), verbose=0)
    model.fit(X, np.ones((8, 3)), verbose=0)


def test_flags_are_as_before_after_a_look_at_the_pretrained_model(two):
    base, model = two
    base.trainable = True
    model.get_layer("logits").trainable = True
    before = [v.trainable for v in model.weights]
    with adapters.disabled(model):
        assert model.trainable_variables == []
    assert [v.trainable for v in model.weights] == before


@pytest.mark.parametrize("weights", [{"red": 0.5}, {"red": 1, "blue": 1}, ["red", "blue"]], ids=str)
def test_layers_trained_in_full_have_no_weighted_sum(two, weights):
    _, model = two
    with pytest.raises(ValueError, match="'logits' has a copy"):
        adapters.active(model, weights)


@pytest.mark.parametrize(
    ("names", "message"),
    [("green", "Received: \\['green'\\]"), ({"red": float("nan")}, "finite numbers")],
    ids=["unknown", "not finite"],
)
def test_bad_names_change_nothing(two, names, message):
    _, model = two
    before = predictions(model, X)
    with pytest.raises(ValueError, match=message):
        adapters.active(model, names)
    assert np.array_equal(predictions(model, X), before)


def test_what_is_no_name_is_refused(two):
    with pytest.raises(TypeError, match="Expected `names`"):
        adapters.active(two[1], None)


def test_a_model_without_adapters_is_refused():
    with pytest.raises(ValueError, match="Expected a model with adapters"):
        adapters.disabled(dense_stack())
