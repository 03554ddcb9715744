"""Adapted models for the tests of learning rules."""

import keras
import numpy as np

from dart_keras import adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in

X = np.random.default_rng(0).normal(size=(24, 12)).astype("float32")
Y = np.random.default_rng(1).normal(size=(24, 3)).astype("float32")
IDS = np.random.default_rng(2).integers(30, size=(24, 5))


def dense_model(method=None):
    """Two adapted layers, one of them with a TT-LoRA adapter of three cores, and a head."""
    stack = [
        keras.layers.Dense(10, "tanh", name="one"),
        keras.layers.Dense(8, "tanh", name="two"),
        keras.layers.Dense(3, name="head"),
    ]
    base = keras.Sequential([keras.Input((12,)), *stack])
    method = method or adapters.LoRA(rank=4, alpha=6)
    model = adapters.adapt(base, method, ["one"], ["head"])
    tt = adapters.TTLoRA(rank=2, alpha=2, input_modes=(5, 2), output_modes=(8,))
    model = adapters.adapt(model, tt, ["two"], name="other")
    adapters.active(model, ["default", "other"])
    return model


def table_model():
    """An adapted table and a head."""
    ids = keras.Input((5,), dtype="int32")
    embedded = keras.layers.Embedding(30, 8, name="table")(ids)
    pooled = keras.layers.GlobalAveragePooling1D()(embedded)
    base = keras.Model(ids, keras.layers.Dense(3, name="head")(pooled))
    return adapters.adapt(base, adapters.LoRA(rank=2, alpha=6), ["table"], ["head"])


def lora_in(model):
    """The first LoRA adapter of a model."""
    return adapted_layers_in(model)[0].adapters["default"]
