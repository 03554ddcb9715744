"""A small regression problem for several tests."""

import keras
import numpy as np

from dart_keras.layers import TTDense
from dart_keras.regularizers import NuclearNorm

RNG = np.random.default_rng(0)
X = RNG.normal(size=(256, 64)).astype("float32")
Y = (X @ RNG.normal(size=(64, 32)) / 8).astype("float32")


def make_model(optimizer="adam", strength=0.01, **compile_arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            TTDense(
                64,
                ranks=8,
                activation="relu",
                rank_regularizer=NuclearNorm(strength),
                name="first",
            ),
            TTDense(32, ranks=8, rank_regularizer=NuclearNorm(strength), name="second"),
        ]
    )
    model.compile(optimizer, "mse", **compile_arguments)
    return model


def ranks_of(model: keras.Model) -> list[tuple[int, ...]]:
    return [layer.ranks for layer in model.layers if hasattr(layer, "ranks")]
