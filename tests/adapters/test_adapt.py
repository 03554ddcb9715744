import keras
import keras_hub
import numpy as np
import pytest

import dart_keras as dk
from dart_keras import adapters
from dart_keras.layers import TTDense


def dense_stack():
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Dense(16, "relu", name="hidden"), keras.layers.Dense(3, name="logits")]
    return keras.Sequential([keras.Input((16,)), *stack])


def bert():
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=8,
    )
    return keras_hub.models.BertTextClassifier(backbone, num_classes=2)


def tokens(count=4):
    ids = np.random.default_rng(0).integers(30, size=(count, 8))
    ones = np.ones_like(ids)
    return {"token_ids": ids, "segment_ids": 0 * ones, "padding_mask": ones}


def predictions(model, x):
    return np.asarray(model.predict(x, verbose=0))


class Subclassed(keras.Model):
    """Holds layers in a list, and a weight of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.blocks = [keras.layers.Dense(8, name=f"block_{i}") for i in range(2)]
        self.logits = keras.layers.Dense(2, name="logits")

    def build(self, input_shape):
        self.shift = self.add_weight(shape=(8,), initializer="ones", name="shift")
        for block in self.blocks:
            block.build((None, 8))
        self.logits.build((None, 8))
        self.built = True

    def call(self, x):
        for block in self.blocks:
            x = keras.ops.tanh(block(x)) + self.shift
        return self.logits(x)


def subclassed():
    keras.utils.set_random_seed(0)
    model = Subclassed(name="subclassed")
    model.build((None, 8))
    model(np.ones((1, 8), "float32"))
    return model


def nested():
    inner = dense_stack()
    x = keras.Input((16,))
    return keras.Model(x, keras.layers.Dense(2, name="top")(inner(x)))


@pytest.mark.parametrize(
    ("make", "layers", "paths"),
    [
        (dense_stack, ["hidden"], ["hidden"]),
        (nested, r".*hidden", ["sequential/hidden"]),
        (subclassed, lambda path, layer: path.startswith("block"), ["block_0", "block_1"]),
    ],
    ids=["Sequential", "nested", "subclassed"],
)
def test_all_kinds_of_models(make, layers, paths):
    keras.backend.clear_session()
    base = make()
    x = np.random.default_rng(0).normal(size=(8, 8 if make is subclassed else 16))
    before = predictions(base, x)
    adapted = adapters.adapt(base, adapters.LoRA(rank=1), layers)
    np.testing.assert_allclose(predictions(adapted, x), before, rtol=1e-5)
    assert len(adapted.trainable_variables) == 2 * len(paths)
    shared = {id(v) for v in adapted.weights}
    assert all(id(v) in shared for v in base.weights)
    adapted.compile("adam", "mse", jit_compile=False)
    adapted.fit(x, np.ones((8, adapted(x[:1]).shape[-1])), verbose=0)
    assert not np.array_equal(predictions(adapted, x), before)
    assert np.array_equal(predictions(base, x), before)


def test_a_classifier_of_keras_hub_from_start_to_merge(tmp_path):
    base, x = bert(), tokens()
    before, weights = predictions(base, x), base.get_weights()
    adapted = adapters.adapt(base, adapters.TTLoRA(rank=2), ["query", "value"], ["logits"])
    assert isinstance(adapted, type(base))
    np.testing.assert_allclose(predictions(adapted, x), before, rtol=1e-5, atol=1e-6)
    adapted.compile(keras.optimizers.Adam(0.01), adapted_loss(), jit_compile=False)
    adapted.fit(x, np.array([0, 1, 0, 1]), epochs=3, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(base.get_weights(), weights, strict=True))
    if keras.backend.backend() == "jax":
        # Its function is compiled again for weights that are frozen now.
        np.testing.assert_allclose(predictions(base, x), before, atol=1e-7)
    else:
        assert np.array_equal(predictions(base, x), before)
    after = predictions(adapted, x)
    adapters.save(adapted, tmp_path / "task.adapter")
    loaded = adapters.load(base, tmp_path / "task.adapter")
    np.testing.assert_allclose(predictions(loaded, x), after, rtol=1e-5, atol=1e-6)
    merged = adapters.merge(adapted)
    np.testing.assert_allclose(predictions(merged, x), after, atol=1e-5)
    assert type(merged) is type(base)
    merged.save(tmp_path / "merged.keras")
    plain = keras.models.load_model(tmp_path / "merged.keras")
    np.testing.assert_allclose(predictions(plain, x), after, atol=1e-5)
    assert "dart_keras" not in str(merged.get_config())


def adapted_loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def planted(rank, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(32, rank)) @ rng.normal(size=(rank, 32)) / 8


@pytest.mark.parametrize(
    "budget",
    [dk.budgets.Parameters(4 * 64), dk.budgets.LossIncrease(0.05)],
    ids=["size", "loss"],
)
def test_ranks_of_the_change_are_found(budget):
    """One layer has to change by a matrix of rank 3, the other by one of rank 1."""
    keras.utils.set_random_seed(0)
    stack = [keras.layers.Dense(32, "tanh", name="one"), keras.layers.Dense(32, name="two")]
    base = keras.Sequential([keras.Input((32,)), *stack])
    target = keras.models.clone_model(base)
    target.set_weights(base.get_weights())
    for layer, rank in zip(target.layers, (3, 1), strict=True):
        layer.kernel.assign_add(planted(rank, rank))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2304, 32)).astype("float32")
    y = predictions(target, x) + 0.2 * rng.normal(size=(2304, 32))
    adapted = adapters.adapt(base, adapters.LoRA(rank=8, alpha=8), ["one", "two"])
    adapted.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    found = dk.callbacks.RankDiscretization(budget)
    data = {"validation_data": (x[2048:], y[2048:]), "callbacks": [found], "verbose": 0}
    adapted.fit(x[:2048], y[:2048], epochs=16, batch_size=16, **data)
    assert list(found.cuts[-1]["ranks_after"].values()) == [(1, 3, 1), (1, 1, 1)]
    # Hardly more than the noise.
    assert np.mean((predictions(adapters.merge(adapted), x) - y) ** 2) < 1.1 * 0.2**2


def test_half_precision_has_adapters_in_float32():
    base = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(16, name="hidden", dtype="bfloat16")]
    )
    adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"])
    assert {v.dtype for v in adapted.trainable_variables} == {"float32"}
    assert keras.backend.standardize_dtype(adapted(np.ones((1, 16))).dtype) == "bfloat16"


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_base(mode, tmp_path):
    base = dense_stack()
    base.quantize(mode)
    x = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")
    before = predictions(base, x)
    adapted = adapters.adapt(base, adapters.LoRA(rank=4), ["hidden"])
    assert np.array_equal(predictions(adapted, x), before)
    adapted.compile(keras.optimizers.Adam(0.05), "mse", jit_compile=False)
    adapted.fit(x, np.ones((32, 3)), epochs=10, verbose=0)
    assert np.array_equal(predictions(base, x), before)
    adapters.save(adapted, tmp_path / "some.adapter")
    loaded = adapters.load(base, tmp_path / "some.adapter")
    assert np.array_equal(predictions(loaded, x), predictions(adapted, x))
    merged = adapters.merge(adapted)
    assert merged.get_layer("hidden").dtype_policy.name == "float32"
    after = predictions(adapted, x)
    assert np.max(np.abs(predictions(merged, x) - after)) < 0.1 * np.max(np.abs(after))


@pytest.mark.filterwarnings("error:Dense layers would be smaller")
def test_adapters_are_not_told_to_be_dense():
    adapted = adapters.adapt(dense_stack(), adapters.LoRA(rank=16), ["hidden"])
    adapted.compile("adam", "mse", jit_compile=False)
    adapted.fit(np.ones((8, 16)), np.ones((8, 3)), verbose=0)


def test_ranks_and_alphas_by_layer():
    method = adapters.LoRA(rank=2, alpha=4, rank_pattern={"log.*": 1}, alpha_pattern={"hidden": 8})
    adapted = adapters.adapt(dense_stack(), method, ["hidden", "logits"])
    made = [layer.adapters["default"] for layer in adapted.layers]
    assert [each.update.ranks for each in made] == [(1, 2, 1), (1, 1, 1)]
    assert [each.scale for each in made] == [4.0, 4.0]


def test_a_tt_layer_is_no_layer_for_adapters():
    base = keras.Sequential([keras.Input((16,)), TTDense(16, name="hidden")])
    with pytest.raises(ValueError, match=r"'hidden' cannot be adapted. Expected a layer"):
        adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"])


def shared_model():
    x = keras.Input((8,))
    layer = keras.layers.Dense(8, name="shared")
    return keras.Model(x, layer(layer(x)))


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (shared_model, (adapters.LoRA(), ["shared"]), "one place in the model"),
        (dense_stack, (adapters.LoRA(), ["absent"]), "matches none of"),
        (dense_stack, (adapters.LoRA(), ["hidden", "absent"]), "'absent', which matches none"),
        (dense_stack, (adapters.LoRA(), "(hidden"), "to be a regular expression"),
        (dense_stack, (adapters.LoRA(rank=17), ["hidden"]), "rank of at most 16"),
        (dense_stack, (adapters.LoRA(rank=2), ["hidden"], ["hidden"]), "in both"),
        (dense_stack, (adapters.TTLoRA(input_modes=(3,)), ["hidden"]), "whose product"),
        (dense_stack, (adapters.LoRA(rank=2), ["hidden"], (), "a/b"), "letters, digits"),
    ],
    ids=["shared", "absent", "one absent", "regex", "small", "both", "modes", "name"],
)
def test_what_cannot_be_adapted_is_refused(make, arguments, message):
    base = make()
    before = [v.trainable for v in base.weights]
    with pytest.raises(ValueError, match=message):
        adapters.adapt(base, *arguments)
    assert [v.trainable for v in base.weights] == before


def test_a_second_adapter_of_the_same_name_is_refused():
    adapted = adapters.adapt(dense_stack(), adapters.LoRA(rank=2), ["hidden"])
    with pytest.raises(ValueError, match="without adapters named 'default'"):
        adapters.adapt(adapted, adapters.LoRA(rank=2), ["hidden"])


@pytest.mark.parametrize("method", [None, "LoRA", adapters.LoRA], ids=["None", "name", "class"])
def test_what_is_no_method_is_refused(method):
    with pytest.raises(TypeError, match="Expected `method`"):
        adapters.adapt(dense_stack(), method, ["hidden"])


@pytest.mark.parametrize("layers", [None, 3, [1]], ids=str)
def test_what_is_no_pattern_is_refused(layers):
    with pytest.raises(TypeError, match="Expected `layers`"):
        adapters.adapt(dense_stack(), adapters.LoRA(rank=2), layers)


@pytest.mark.parametrize("value", [0, -1, 2.5, None], ids=str)
def test_ranks_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="positive integers"):
        adapters.LoRA(rank=value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None], ids=str)
def test_alphas_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="above 0"):
        adapters.TTLoRA(alpha=value)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [({"hiden": 1}, "match whole paths"), ({"(": 1}, "regular expressions")],
    ids=["absent", "no expression"],
)
def test_patterns_of_ranks_must_match(pattern, message):
    with pytest.raises(ValueError, match=message):
        adapters.adapt(dense_stack(), adapters.LoRA(rank=2, rank_pattern=pattern), ["hidden"])
