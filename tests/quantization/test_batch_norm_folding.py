import warnings

import keras
import numpy as np
import pytest
from keras import layers

import dart_keras as dk
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.private_apis import flatten_layers

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(4, 8, 8, 3)).astype("float32")


def norm(x, **kwargs):
    return layers.BatchNormalization(**kwargs)(x)


def mobile(inputs=None):
    """Each kind of block of a MobileNet."""
    x = inputs = keras.Input((8, 8, 3))
    x = layers.ReLU(6.0)(norm(layers.Conv2D(6, 3, padding="same", use_bias=False)(x)))
    x = norm(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x), scale=False)
    x = layers.ReLU()(x)
    y = layers.ReLU()(norm(layers.SeparableConv2D(6, 3, padding="same")(x), center=False))
    x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, norm(layers.Dense(4)(x)))


def before_products():
    """Normalizations after activations that the next weights can do."""
    inputs = keras.Input((8, 8, 3))
    x = norm(layers.Conv2D(6, 3, activation="relu")(inputs))
    x = norm(norm(layers.Conv2D(5, 3, strides=2, use_bias=False)(x)))
    x = norm(layers.Conv2D(4, 1, padding="same", activation="gelu")(x))
    y = layers.Dense(3, "tanh", use_bias=False)(layers.Flatten()(x))
    x = layers.Dense(4)(norm(layers.Activation("relu")(layers.Dense(4)(norm(y)))))
    z = layers.GlobalAveragePooling2D()(
        norm(layers.Activation("relu")(layers.Conv2D(4, 2)(inputs)))
    )
    return keras.Model(inputs, layers.Add()([norm(layers.Dense(4)(z)), x]))


def after_activations():
    """Normalizations most of which only a layer of their own can stand for."""
    inputs = keras.Input((8, 8, 3))
    x = norm(layers.Conv2D(6, 3, padding="same", activation="relu")(norm(inputs)))
    x = layers.MaxPooling2D(2)(norm(layers.Activation("tanh")(layers.Conv2D(6, 3)(x))))
    shared = layers.BatchNormalization(name="shared")
    x = shared(layers.Dense(6, activation="relu")(shared(layers.Dense(6)(layers.Flatten()(x)))))
    return keras.Model(inputs, layers.Dense(3)(x))


def nested():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4), layers.BatchNormalization(), layers.ReLU()]
    )
    inputs = keras.Input((8, 8, 3))
    x = layers.Dense(4)(layers.GlobalMaxPooling2D()(inputs))
    return keras.Model(inputs, inner(norm(inner(x))))


def after_tt_layers():
    inputs = keras.Input((8, 8, 3))
    x = norm(dk.layers.TTDense(16, 3)(layers.Flatten()(inputs)))
    x = norm(layers.Conv1D(4, 2)(layers.Reshape((4, 4))(x)))
    return keras.Model(inputs, norm(layers.Activation("gelu")(x)))


def after_a_mask():
    inputs = keras.Input((8, 8, 3))
    x = layers.Masking()(layers.Reshape((64, 3))(inputs))
    x = norm(layers.Dense(3, activation="relu")(norm(layers.Dense(3)(x))))
    return keras.Model(inputs, layers.LSTM(2)(x))


@keras.saving.register_keras_serializable("tests.norm_folding")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.norm = layers.Conv2D(4, 3), layers.BatchNormalization()

    def call(self, inputs, training=False):
        return self.norm(self.first(inputs), training=training)


def randomized(model):
    model(IMAGES)
    rng = np.random.default_rng(1)
    for layer in flatten_layers(model):
        if isinstance(layer, layers.BatchNormalization):
            for weight in layer.weights:
                weight.assign(rng.uniform(0.2, 2, size=weight.shape) * rng.choice([1, 1, 1, 0.3]))
            if layer.scale:
                layer.gamma.assign(layer.gamma * rng.choice([-1.0, 1.0], size=layer.gamma.shape))
    return model


@pytest.mark.parametrize(
    ("build", "placeholders"),
    [
        (mobile, 4),
        (before_products, 8),
        (after_activations, 1),
        (nested, 1),
        (after_tt_layers, 1),
        (after_a_mask, 1),
        (Subclassed, 0),
    ],
)
def test_outputs_are_the_same_without_normalizations(build, placeholders, tmp_path):
    model = randomized(build())
    weights, names = model.get_weights(), [layer.name for layer in model.layers]
    expected = model.predict(IMAGES, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        folded = dk.quantization.fold_batch_norm(model)
    kinds = [type(layer) for layer in flatten_layers(folded)]
    assert layers.BatchNormalization not in kinds
    assert kinds.count(FoldedBatchNormalization) == placeholders
    assert [layer.name for layer in folded.layers] == names
    largest = np.abs(expected).max()
    np.testing.assert_allclose(folded.predict(IMAGES, verbose=0), expected, atol=1e-5 * largest)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    folded.save(tmp_path / "folded.keras")
    loaded = dk.load_model(tmp_path / "folded.keras")
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), expected, atol=1e-5 * largest)


class Other(layers.BatchNormalization):
    pass


def first_axis():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, norm(layers.Conv2D(4, 3)(inputs), axis=1, name="kept"))


def of_another_class():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, Other(name="kept")(layers.Conv2D(4, 3)(inputs)))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (first_axis, "normalizes axis 1"),
        (of_another_class, "of the class Other"),
    ],
)
def test_what_cannot_be_folded_stays_and_is_named(build, reason):
    model = randomized(build())
    with pytest.warns(UserWarning, match=f"kept: it .*{reason}"):
        folded = dk.quantization.fold_batch_norm(model)
    kept = [x for x in flatten_layers(folded) if isinstance(x, layers.BatchNormalization)]
    assert [layer.name for layer in kept] == ["kept"]
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(folded.predict(IMAGES, verbose=0), expected, atol=1e-4)


def test_models_that_are_not_built_are_refused():
    for bad in (keras.Sequential([layers.Dense(2)]), "model.keras"):
        with pytest.raises(ValueError, match="Expected a built Keras model"):
            dk.quantization.fold_batch_norm(bad)
