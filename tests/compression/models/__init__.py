"""Built models of many shapes, each with a batch for it."""

from typing import Any

import keras
import numpy as np
from keras import layers

from tests.compression.models import images, nested, sequences, shared, vectors  # noqa: F401 - they add their models
from tests.compression.models.registry import MODELS

__all__ = ["MODELS", "TOLERANCES", "build", "randomize"]

# How far outputs of the same models may be apart; the others compute in single precision.
TOLERANCES = {
    "mixed_precision": 0.05,
    "bfloat16": 0.05,
    "float16": 0.05,
    "half_precision_convolutions": 0.05,
    "half_precision_table": 0.05,
}


def randomize(model: keras.Model) -> None:
    """Give every weight a value that no initializer gives, state and biases included."""
    for k, weight in enumerate(model.weights):
        shape, rng = tuple(weight.shape), np.random.default_rng(k)
        # Weights of variances must stay positive.
        weight.assign(np.asarray(weight) + 0.1 * np.abs(rng.normal(size=shape)))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()  # it computes with what it made of its weights


def build(name: str) -> tuple[keras.Model, Any]:
    """One of the models, its weights random, and a batch for it."""
    model, batch = MODELS[name]()
    randomize(model)
    return model, batch
