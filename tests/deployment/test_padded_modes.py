"""Layers whose modes multiply to more than their dimensions, on the devices."""

import keras
import numpy as np
import pytest

from dart_keras.deployment import convert
from dart_keras.layers import TTDense, TTEmbedding

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 19)).astype("float32")
IDS = RNG.integers(0, 199, (64, 6)).astype("int32")


def dense():
    return [
        keras.Input((19,)),
        TTDense(23, 4, (4, 5), (4, 6), activation="relu"),
        TTDense(5, 3, (4, 6), (3, 2)),
    ]


def embedding():
    return [
        keras.Input((6,), dtype="int32"),
        TTEmbedding(199, 15, 4, (10, 20), (4, 4)),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(4),
    ]


def low_rank_embedding():
    return [
        keras.Input((6,), dtype="int32"),
        TTEmbedding(199, 15, 4, (200, 1), (1, 16)),
        keras.layers.GlobalAveragePooling1D(),
    ]


@pytest.mark.parametrize("target", ["raspberry-pi", "microcontroller"])
@pytest.mark.parametrize(("quantization", "tolerance"), [("float32", 1e-5), ("int8", 0.1)])
@pytest.mark.parametrize(
    ("layers", "data"), [(dense, ROWS), (embedding, IDS), (low_rank_embedding, IDS)]
)
def test_the_device_computes_what_keras_does(target, quantization, tolerance, layers, data):
    model = keras.Sequential(layers())
    artifact = convert(model, target=target, quantization=quantization, calibration_data=data)
    expected = np.asarray(model(data[:8]))
    error = np.abs(artifact.predict(data[:8]) - expected).max()
    assert error <= tolerance * np.abs(expected).max()


def test_a_core_with_one_input_mode_is_multiplied_by_once():
    artifact = convert(
        keras.Sequential(low_rank_embedding()),
        target="microcontroller",
        quantization="float32",
        calibration_data=IDS,
    )
    assert "FULLY_CONNECTED" in artifact.operators
    assert not {"BATCH_MATMUL", "FLOOR_DIV", "FLOOR_MOD"} & set(artifact.operators)
