"""Small models that the tests of deployment share."""

import keras
import numpy as np

from dart_keras.layers import TTDense, TTEmbedding

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 20)).astype("float32")
IDS = RNG.integers(0, 200, size=(64, 6)).astype("int32")


def dense() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20,), name="features"),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def tt_dense() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((20,), name="features"),
            TTDense(24, ranks=4, activation="relu"),
            TTDense(4, ranks=2),
        ]
    )


def tt_dense_on_sequences() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((3, 20), name="features"),
            TTDense(24, ranks=4, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )


def tt_embedding() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32", name="ids"),
            TTEmbedding(200, 16, ranks=4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4),
        ]
    )


def embedding() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6,), dtype="int32", name="ids"),
            keras.layers.Embedding(200, 8, name="table"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4),
        ]
    )


def two_in_three_out() -> keras.Model:
    """Its inputs, and its outputs, are not in the alphabetical order of their names."""
    first = keras.Input((5,), name="z_first")
    second = keras.Input((7,), name="a_second")
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()([first, second]))
    outputs = [
        keras.layers.Dense(3, name="z_out")(hidden),
        keras.layers.Dense(2, name="a_out")(hidden),
        keras.layers.Dense(4, name="m_out")(hidden),
    ]
    return keras.Model([first, second], outputs)


class Subclassed(keras.Model):
    """Takes one array."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="relu")
        self.out = keras.layers.Dense(3)

    def call(self, inputs, training=False):
        return self.out(self.hidden(inputs))


class SubclassedOnDict(Subclassed):
    """Takes a dict of two arrays."""

    def call(self, inputs):
        return self.out(keras.ops.concatenate([self.hidden(inputs["b"]), inputs["a"]], -1))
