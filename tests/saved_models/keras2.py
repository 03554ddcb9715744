"""Models of Keras 2, for the tests of what reads them."""

import numpy as np
import pytest
import tensorflow as tf

tf_keras = pytest.importorskip("tf_keras", reason="needs tf-keras, of the extra `quantization`")
layers = tf_keras.layers


def _mobile():
    stack = [
        layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(6.0),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4),
    ]
    return tf_keras.Sequential([tf_keras.Input((16, 16, 3)), *stack])


def _recurrent():
    stack = [layers.LSTM(8, return_sequences=True), layers.GRU(5), layers.Dense(2)]
    return tf_keras.Sequential([tf_keras.Input((None, 4)), *stack])


def _ids():
    ids = tf_keras.Input((6,))
    x = layers.Embedding(10, 4)(ids)
    x = layers.Bidirectional(layers.LSTM(4))(x)
    y = layers.Dense(3)(x)
    return tf_keras.Model(ids, [y, layers.Activation("sigmoid")(y)])


def _convolutions():
    x = inputs = tf_keras.Input((8, 8, 3))
    x = layers.SeparableConv2D(4, 3)(x)
    x = layers.Conv2DTranspose(4, 2, strides=2)(x)
    x = layers.LeakyReLU(0.2)(x)
    return tf_keras.Model(inputs, layers.GlobalMaxPooling2D()(x))


def _attention():
    x = inputs = tf_keras.Input((5, 8))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 4)(x, x)])
    return tf_keras.Model(inputs, layers.LayerNormalization()(x))


def _nested():
    inner = tf_keras.Sequential(
        [tf_keras.Input((6,)), layers.Dense(4), layers.BatchNormalization(), layers.Dropout(0.5)]
    )
    a, b = tf_keras.Input((6,), name="a"), tf_keras.Input((6,), name="b")
    joined = layers.Concatenate()([inner(a), inner(b)])
    steps = layers.TimeDistributed(layers.Dense(3))(layers.Reshape((2, 4))(joined))
    return tf_keras.Model([a, b], layers.Flatten()(steps))


def _functions():
    a, b = tf_keras.Input((6,)), tf_keras.Input((6,))
    inner = tf_keras.Sequential([tf_keras.Input((6,)), layers.Dense(6)])
    x = tf.nn.relu6(a / 4.0 - 1) + inner(b)
    x = layers.Dense(5)(1.0 - x * inner(a))
    return tf_keras.Model([a, b], tf.math.maximum(-(x**2), tf.nn.softmax(x)))


_BUILDERS = {
    "functions": _functions,
    "mobile": _mobile,
    "recurrent": _recurrent,
    "ids": _ids,
    "convolutions": _convolutions,
    "attention": _attention,
    "nested": _nested,
}
NAMES = list(_BUILDERS)


def build(name):
    """Return a model of Keras 2 with random weights, and rows for it."""
    model = _BUILDERS[name]()
    rng = np.random.default_rng(0)
    # Means and variances too, which are positive.
    model.set_weights([rng.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    shapes = [(3, *(size or 7 for size in x.shape[1:])) for x in model.inputs]
    rows = [rng.integers(0, 6, shape).astype("float32") for shape in shapes]
    return model, rows if len(rows) > 1 else rows[0]
