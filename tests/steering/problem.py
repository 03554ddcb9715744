"""A TT layer that learns from a TT matrix of known ranks, with more rank than it needs."""

import keras
import numpy as np

from dart_keras.budgets import Parameters
from dart_keras.callbacks import RankDiscretization
from dart_keras.layers import TTDense
from dart_keras.tensor_train.ranks import count_parameters
from tests.tt_matrices import random_tt_matrix

MODES, RANKS = (4, 4, 4), (1, 2, 3, 1)
SIZE = count_parameters(MODES, MODES, RANKS)


def data():
    rng = np.random.default_rng(0)
    teacher = random_tt_matrix(MODES, MODES, RANKS)
    matrix = teacher.to_dense() / teacher.norm() * 8
    x = rng.normal(size=(1024, 64))
    return x.astype("float32"), (x @ matrix + 0.1 * rng.normal(size=x.shape)).astype("float32")


X, Y = data()


def make_model(loss="mse", **layer_arguments):
    keras.utils.set_random_seed(0)
    layer = TTDense(64, (1, 8, 8, 1), MODES, MODES, use_bias=False, name="tt", **layer_arguments)
    model = keras.Sequential([keras.Input((64,)), layer])
    # TensorFlow's steps take longer to compile with XLA than to run; JAX has no others.
    model.compile(keras.optimizers.Adam(0.02), loss, jit_compile=keras.backend.backend() == "jax")
    return model


def train(model, steering, *callbacks, epochs=10, cut=None, **arguments):
    discretization = RankDiscretization(
        Parameters(SIZE), epoch=epochs - 1 if cut is None else cut, steering=steering
    )
    model.fit(
        X,
        Y,
        batch_size=32,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[discretization, *callbacks],
        **arguments,
    )
    return discretization
