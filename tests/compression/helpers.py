"""What the tests of replacing share."""

import keras
import numpy as np
from keras import layers

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.model_surgery.replace import layers_with_paths


def outputs(model, batch):
    return [np.asarray(y, "float64") for y in keras.tree.flatten(model(batch))]


def assert_close(ours, theirs, tolerance):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


def saved_and_loaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def tensor_trains(layer):
    if isinstance(layer, layers.Dense):
        return TTDense.from_dense(layer)
    if isinstance(layer, layers.Embedding):
        return TTEmbedding.from_dense(layer)
    return None


def tensor_trains_inside_attention(layer):
    is_einsum = isinstance(layer, layers.EinsumDense)
    return TTEinsumDense.from_dense(layer) if is_einsum else tensor_trains(layer)


def nothing(layer):
    return None


def described(model):
    """What is to be the same in the copy, at any depth."""
    return [
        (path, layer.name, layer.trainable, layer.dtype_policy.name, layer.trainable_weights == [])
        for path, layer in layers_with_paths(model)
    ]
