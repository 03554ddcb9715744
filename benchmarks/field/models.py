"""Small models and rows that several situations use."""

from typing import Any

import keras
import numpy as np

import dart_keras as dk


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    """Return normal random rows, in float32."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def classifier(width: int = 16, classes: int = 3) -> keras.Model:
    """Return a classifier of 8 features with two dense layers."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(width, "relu", name="hidden"),
            keras.layers.Dense(classes, name="logits"),
        ]
    )


def tt_model(strength: float = 0.0, **arguments: Any) -> keras.Model:
    """Return a compiled regression of 16 features with a TT layer."""
    keras.utils.set_random_seed(0)
    regularizer = dk.regularizers.NuclearNorm(strength) if strength else None
    model = keras.Sequential(
        [
            keras.Input((16,)),
            dk.layers.TTDense(16, ranks=4, rank_regularizer=regularizer, name="tt", **arguments),
        ]
    )
    model.compile("adam", "mse")
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, epochs: int = 3) -> Any:
    """Train on a linear problem of 64 rows and return the history."""
    x = rows(64, model.input_shape[-1])
    y = x @ rows(model.input_shape[-1], model.output_shape[-1], seed=1) / 4
    return model.fit(x, y, epochs=epochs, verbose=0, callbacks=list(callbacks))


def sees(call: Any, *arguments: Any, **keywords: Any) -> str:
    """Return the message of the error that a call ends with, "" if it succeeds."""
    try:
        call(*arguments, **keywords)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
