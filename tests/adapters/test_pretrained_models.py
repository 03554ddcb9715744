"""What a pretrained model was like before it is so with adapters: flags, dtypes, arguments."""

import keras
import keras_hub
import numpy as np
import pytest

from dart_keras import adapters
from tests.adapters.test_adapt import predictions


def test_the_base_is_frozen_and_can_be_thawed():
    base = keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(16, name="hidden"),
            keras.layers.BatchNormalization(),
        ]
    )
    adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"])
    before = base.get_weights()
    base(np.full((4, 16), 9.0, "float32"), training=True)
    assert all(np.array_equal(a, b) for a, b in zip(base.get_weights(), before, strict=True))
    assert base.trainable_variables == []
    base.trainable = True
    assert len(base.trainable_variables) == 4
    assert len(adapted.trainable_variables) == 6


class Block(keras.layers.Layer):
    """A layer with a weight of its own, around another one."""

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gain")
        self.inner = keras.layers.Dense(input_shape[-1], name="inner")
        self.inner.build(input_shape)
        self.built = True

    def call(self, x):
        return self.gain * self.inner(x)


def test_weights_beside_adapters_stay_frozen_in_a_file(tmp_path):
    base = keras.Sequential([keras.Input((8,)), Block(name="block")])
    adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["inner"])
    adapted.save(tmp_path / "adapted.keras")
    loaded = keras.models.load_model(tmp_path / "adapted.keras", {"Block": Block})
    paths = [[v.path for v in model.trainable_variables] for model in (adapted, loaded)]
    assert len(paths[0]) == 2
    assert paths[0] == paths[1]


def test_layers_that_hold_others_are_not_trained_in_full():
    base = keras.Sequential([keras.Input((8,)), Block(name="block")])
    with pytest.raises(ValueError, match="hold no other layers"):
        adapters.adapt(base, adapters.LoRA(rank=2), ["inner"], ["block"])
    recurrent = keras.Sequential([keras.Input((3, 8)), keras.layers.LSTM(4), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="cells of recurrent ones"):
        adapters.adapt(recurrent, adapters.LoRA(rank=2), ["dense"], ["lstm_cell"])


def test_a_trained_copy_gets_all_arguments():
    x = keras.Input((4, 8))
    shifted = keras_hub.layers.PositionEmbedding(16, name="positions")(x, start_index=3)
    base = keras.Model(x, keras.layers.Dense(8, name="hidden")(shifted))
    adapted = adapters.adapt(base, adapters.LoRA(rank=2), ["hidden"], ["positions"])
    inputs = np.random.default_rng(0).normal(size=(2, 4, 8))
    np.testing.assert_allclose(
        predictions(adapted, inputs), predictions(base, inputs), rtol=1e-5, atol=1e-6
    )


def test_float_ids_are_not_rounded():
    ids = keras.Input((1,))
    table = keras.layers.Embedding(2000, 8, name="table", dtype="mixed_bfloat16")
    adapted = adapters.adapt(keras.Model(ids, table(ids)), adapters.LoRA(rank=1), ["table"])
    for core in adapted.get_layer("table").adapters["default"].update.cores:
        core.assign(np.random.default_rng(0).normal(size=core.shape))
    merged = adapters.merge(adapted)
    row = np.array([[257.0]], "float32")
    np.testing.assert_allclose(
        predictions(adapted, row).astype("float32"),
        predictions(merged, row).astype("float32"),
        rtol=0.03,
        atol=0.03,
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_models_of_other_dtypes_are_merged(dtype):
    layer = keras.layers.Dense(16, name="hidden", dtype=dtype)
    adapted = adapters.adapt(
        keras.Sequential([keras.Input((16,)), layer]), adapters.LoRA(rank=2), ["hidden"]
    )
    for variable in adapted.trainable_variables:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    assert adapters.merge(adapted).get_layer("hidden").dtype_policy.name == dtype


def test_activity_regularizers_see_the_outputs():
    layer = keras.layers.Dense(4, "relu", activity_regularizer=keras.regularizers.L2(1.0))
    base = keras.Sequential([keras.Input((4,)), layer])
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    adapted = adapters.adapt(base, adapters.LoRA(rank=2), lambda path, layer: True)
    merged = adapters.merge(adapted)
    losses = []
    for model in (base, adapted, merged):
        model(x)
        losses.append(float(sum(model.losses)))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
