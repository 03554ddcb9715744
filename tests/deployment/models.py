"""Small models that the tests of deployment share."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dart_keras.deployment.flatbuffer.reader import ModelFile
from dart_keras.deployment.flatbuffer.serialization import operator_name, pack, sweep, unpack
from dart_keras.deployment.post_training.tflite_converter import convert_exported
from dart_keras.deployment.runtimes.litert import run_on_litert
from dart_keras.deployment.runtimes.tflm import LARGEST_ARENA, run_on_tflm
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
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


def drowned() -> keras.Model:
    """What it computes hangs on an input that is lost beside the other in int8, not in int16."""
    model = keras.Sequential([keras.Input((2,), name="features"), keras.layers.Dense(1)])
    model.layers[0].kernel.assign([[0.0], [1.0]])
    return model


DROWNED_ROWS = RNG.normal(size=(64, 2)).astype("float32") * np.array([100, 0.5], "float32")


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


def three_cores() -> keras.Model:
    """Two layers whose shapes fit, with biases that are not zero, and one that they do not fit."""
    model = keras.Sequential(
        [
            keras.Input((60,), name="features"),
            TTDense(24, 3, (3, 4, 5), (2, 3, 4), activation="relu", bias_initializer="normal"),
            TTDense(30, 3, (2, 3, 4), (5, 3, 2), activation="tanh", bias_initializer="normal"),
            TTDense(12, 2, (6, 5), (3, 4), bias_initializer="normal"),
        ]
    )
    model.layers[0].bias.assign(RNG.normal(size=24))
    return model


def lowered(
    model: keras.Model,
    quantization: str,
    rows: np.ndarray,
    target: str = "raspberry-pi",
    per_channel: bool = True,
) -> bytes:
    """The file as TensorFlow's converter makes it."""
    signature = model_signature(model).resolved([rows])
    rows = rows.astype(signature.inputs[0].dtype)
    scheme = SCHEMES[quantization]
    exported = export(model, signature, DevicePlans(target, scheme))
    return convert_exported(exported, scheme, [rows], per_channel)


def changed(content: bytes, *changes: Callable[[Any], None]) -> bytes:
    """The file after some passes over it."""
    model = unpack(content)
    for change in changes:
        change(model)
    sweep(model)
    return pack(model)


def operators(content: bytes) -> list[str]:
    """The names of a file's operators."""
    model = unpack(content)
    return [operator_name(model, o) for graph in model.subgraphs for o in graph.operators]


def raw_outputs(content: bytes, rows: np.ndarray, runtime: str) -> np.ndarray:
    """What a runtime gives for a file of one input and one output, as the file holds it."""
    [given] = ModelFile(content).inputs(["x"])
    quantized = [given.quantize(rows)]
    if runtime == "tflm":
        return run_on_tflm(content, quantized, LARGEST_ARENA).outputs[0]
    return run_on_litert(content, quantized).outputs[0]


def outputs(content: bytes, rows: np.ndarray, runtime: str) -> np.ndarray:
    """The same in real values."""
    [info] = ModelFile(content).outputs(["y"])
    return info.dequantize(raw_outputs(content, rows, runtime))


def decibels(content: bytes, model: keras.Model, rows: np.ndarray, runtime: str) -> float:
    """The signal-to-noise ratio of what a runtime gives, against Keras."""
    expected = model.predict(rows, verbose=0)
    error = outputs(content, rows, runtime) - expected
    return 10 * float(np.log10(np.mean(expected**2) / np.mean(error**2)))
