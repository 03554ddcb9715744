"""Models for quantization-aware training, by name."""

import keras
import numpy as np
from keras import layers

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.layers.folded_batch_norm import FoldedBatchNormalization
from dart_keras.private_apis import flatten_layers


def two_balanced_tt_layers():
    modes = ((8, 8), (8, 16))
    first = TTDense(128, 6, *modes, activation="relu", name="first")
    second = TTDense(64, 5, (8, 16), (8, 8), activation="tanh", name="second")
    return keras.Sequential([keras.Input((64,)), first, second, layers.Dense(5, name="last")])


def three_modes():
    train = TTDense(512, 5, (8, 8, 8), (8, 8, 8), activation="relu")
    return keras.Sequential([keras.Input((512,)), train, layers.Dense(3, "softmax")])


def low_rank():
    train = TTDense(64, 5, (64, 1), (1, 64), activation="relu6", use_bias=False)
    return keras.Sequential([keras.Input((64,)), train, layers.Dense(3)])


def padded_modes():
    train = TTDense(30, 3, (8, 8), (4, 8), activation="sigmoid")
    return keras.Sequential([keras.Input((60,)), train, layers.Dense(3)])


def rows_of_vectors():
    x = inputs = keras.Input((5, 64))
    for layer in (TTDense(48, 3, activation="relu"), layers.Dense(7), layers.Flatten()):
        x = layer(x)
    return keras.Model(inputs, layers.Dense(2, "sigmoid")(x))


def convolutions():
    x = inputs = keras.Input((12, 12, 3))
    x = whole = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.ReLU()(layers.Add()([layers.Conv2D(8, 1)(x), whole]))
    pooled = [layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(whole)]
    x = layers.GlobalAveragePooling2D()(layers.Add()(pooled))
    return keras.Model(inputs, layers.Dense(4, "softmax")(x))


def operations_and_a_shared_layer():
    a, b = keras.Input((16,), name="a"), keras.Input((16,), name="b")
    shared = layers.Dense(8, name="shared")
    x = shared(a) * shared(b) + keras.ops.tanh(a[:, :8])
    return keras.Model([a, b], [layers.Dense(2)(x), layers.Activation("sigmoid")(x)])


def nested():
    inner = keras.Sequential([keras.Input((32,)), TTDense(32, 4, activation="relu")], name="inner")
    inputs = keras.Input((32,))
    return keras.Model(inputs, layers.Dense(3)(inner(inner(inputs))))


def layers_that_move():
    x = inputs = keras.Input((9, 9, 4), name="an-image")
    for layer in (
        layers.ZeroPadding2D(1),
        layers.Conv2D(6, 3, activation="relu"),
        FoldedBatchNormalization(),
        layers.Cropping2D(1),
        layers.SpatialDropout2D(0.1),
        layers.Permute((2, 1, 3)),
        layers.Identity(),
        layers.MaxPooling2D(2),
        layers.Reshape((9, 6)),
        layers.Dropout(0.1),
        layers.Reshape((3, 3, 6)),
        layers.Conv2D(5, 2),
        layers.GlobalMaxPooling2D(),
        layers.Dense(3),
    ):
        x = layer(x)
    return keras.Model(inputs, x)


def mobile_blocks():
    """A small MobileNet, with a normalization that is not after a linear layer, too."""
    x = inputs = keras.Input((12, 12, 3))

    def block(layer, activation, x):
        return activation(layers.BatchNormalization(momentum=0.8)(layer(x)))

    x = block(layers.Conv2D(8, 3, 2, "same", use_bias=False), layers.ReLU(6.0), x)
    whole = block(layers.DepthwiseConv2D(3, padding="same"), layers.ReLU(), x)
    x = block(layers.Conv2D(8, 1, use_bias=False), layers.Activation("linear"), whole)
    x = layers.BatchNormalization(momentum=0.8)(layers.Add()([x, whole]))
    x = block(layers.SeparableConv2D(12, 3, use_bias=False), layers.Activation("relu"), x)
    x = layers.BatchNormalization(momentum=0.8)(layers.Conv2D(10, 1, activation="relu")(x))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.BatchNormalization(momentum=0.8)(layers.Dense(16, activation="tanh")(x))
    model = keras.Model(inputs, layers.Dense(4, "softmax")(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, size=w.shape) for w in layer.weights])
    return model


def layers_that_compute():
    inputs = keras.Input((12,))
    a, b = layers.LeakyReLU(0.2)(layers.Dense(8)(inputs)), layers.Dense(8, "relu")(inputs)
    pairs = [layers.Multiply, layers.Subtract]
    x = layers.Add()([pair()([a, b]) for pair in pairs])
    return keras.Model(inputs, layers.Softmax()(layers.Dense(4)(x)))


def lookups():
    x = inputs = keras.Input((3,), dtype="int32")
    x = layers.Flatten()(TTEmbedding(60, 24, 4, (3, 4, 5), (2, 3, 4), name="table")(x))
    return keras.Model(inputs, layers.Dense(5)(TTDense(32, 4, activation="relu")(x)))


def tied_logits_of_a_low_rank_table():
    # The ids come as floats, Keras's default.
    inputs = keras.Input((2,))
    table = TTEmbedding(50, 16, 5, (50, 1), (1, 16), name="table")
    x = layers.Flatten()(table(inputs))
    return keras.Model(inputs, table(TTDense(16, 4, activation="relu")(x), reverse=True))


def projections_of_several_axes():
    x = inputs = keras.Input((4, 24))
    for equation, shape, bias_axes, activation in (
        ("abc,cde->abde", (None, 4, 8), "de", "relu"),
        ("abde,dec->acb", (20, None), "c", "relu6"),
    ):
        x = TTEinsumDense(equation, shape, 3, bias_axes=bias_axes, activation=activation)(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def one_core_and_padded_ids():
    ids, more = keras.Input((2,), dtype="int32"), keras.Input((), dtype="int32")
    x = TTEmbedding(30, 8, 1, (30,), (8,), name="whole")(ids)
    y = TTEmbedding(29, 15, 3, (5, 6), (4, 4), name="padded")(more)
    return keras.Model([ids, more], [layers.Dense(3)(layers.Flatten()(x)), layers.Dense(2)(y)])


NETWORKS = {
    build.__name__: build
    for build in (
        two_balanced_tt_layers,
        three_modes,
        low_rank,
        padded_modes,
        rows_of_vectors,
        convolutions,
        operations_and_a_shared_layer,
        nested,
        layers_that_move,
        mobile_blocks,
        layers_that_compute,
        lookups,
        tied_logits_of_a_low_rank_table,
        one_core_and_padded_ids,
        projections_of_several_axes,
    )
}


def inputs_of(model, rows=128):
    rng = np.random.default_rng(0)
    vocabularies = [x.input_dim for x in flatten_layers(model) if isinstance(x, TTEmbedding)]
    found = [
        rng.integers(0, min(vocabularies), size=(rows, *x.shape[1:]), dtype="int32")
        if vocabularies
        else rng.normal(size=(rows, *x.shape[1:])).astype("float32")
        for x in model.inputs
    ]
    return found if len(found) > 1 else found[0]
