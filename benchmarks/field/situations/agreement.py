"""Models that were destroyed, and whether anybody says so."""

import json
import re

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import classifier, rows
from benchmarks.field.shell import dart_keras
from benchmarks.field.situation import situation


def _trained(folder):
    model = classifier(64, 10)
    x = rows(1024, 8)
    labels = np.argmax(x @ rows(8, 10, seed=1), axis=1)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, epochs=8, verbose=0)
    model.save(folder / "m.keras")
    np.save(folder / "x.npy", x)
    np.save(folder / "labels.npy", labels)
    return model, x


@situation("compresses a classifier to a sixth at the shell, without data")
def compressed_without_data(folder):
    _trained(folder)
    ended = dart_keras(
        "compress", "m.keras", "--parameters", "200", "--output", "s.keras", folder=folder
    )
    assert re.search(r"calibration", ended.err + ended.out), "nobody says that it was not compared"


@situation("compresses a classifier to a sixth at the shell, with data")
def compressed_with_data(folder):
    _trained(folder)
    data = ("--calibration-data", "x.npy")
    ended = dart_keras(
        "compress", "m.keras", "--parameters", "200", "--output", "s.keras", *data, folder=folder
    )
    assert re.search(r"warning.*(argmax|agree)", ended.err, re.S), ended.err or "no warning"


@situation("compresses too far in Python, with data", warned="argmax|agree")
def compressed_in_python(folder):
    model, x = _trained(folder)
    dk.compression.compress(model, dk.budgets.Parameters(200), x)


@situation("verifies the file of a destroyed model against the original")
def destroyed_file(folder):
    model, x = _trained(folder)
    small, _ = dk.compression.compress(model, dk.budgets.Parameters(200))
    dk.deployment.convert(small, calibration_data=x).save(folder / "board")
    ended = dart_keras("verify", "board", "m.keras", "--calibration-data", "x.npy", folder=folder)
    assert ended.code == 1, f"exit code {ended.code}: {ended.out}"


@situation("asks `verify` for JSON and the accuracy by labels")
def verify_for_scripts(folder):
    model, x = _trained(folder)
    dk.deployment.convert(model, calibration_data=x).save(folder / "board")
    options = ("--calibration-data", "x.npy", "--labels", "labels.npy", "--json")
    ended = dart_keras("verify", "board", "m.keras", *options, folder=folder)
    assert ended.code == 0, ended.err
    assert "accuracy" in json.dumps(json.loads(ended.out))


@situation(
    "converts to int16x8 with features of very different scale after a Normalization",
    refused="scale|dB",
)
def features_of_different_scale(folder):
    scales = np.array([1e-3, 1, 1e4, 1e6], "float32")
    x = rows(256, 4) * scales
    norm = keras.layers.Normalization()
    norm.adapt(x)
    model = keras.Sequential([keras.Input((4,)), norm, keras.layers.Dense(3)])
    dk.deployment.convert(model, quantization="int16x8", calibration_data=x)


def _not_finite(layer, index, value):
    model = classifier()
    weights = model.get_layer(layer).get_weights()
    weights[index].flat[0] = value
    model.get_layer(layer).set_weights(weights)
    return model


@situation("converts a model with a NaN among its weights", refused="hidden")
def nan_weights(folder):
    dk.deployment.convert(_not_finite("hidden", 0, np.nan), calibration_data=rows(8, 8))


@situation("converts a model with an infinite bias to int8", refused="logits")
def infinite_bias(folder):
    model = _not_finite("logits", 1, np.inf)
    dk.deployment.convert(model, quantization="int8", calibration_data=rows(8, 8))


@situation("compresses a model with a NaN among its weights", refused="hidden")
def nan_compressed(folder):
    dk.compression.compress(_not_finite("hidden", 0, np.nan), dk.budgets.Parameters(100))


@situation("converts a model one of whose outputs is NaN for every row", refused="finite")
def one_nan_output(folder):
    inputs = keras.Input((8,), name="x")
    hidden = keras.layers.Dense(4, name="fine")(inputs)
    broken = keras.ops.log(-keras.ops.abs(keras.layers.Dense(2, name="broken")(inputs)) - 1.0)
    dk.deployment.convert(keras.Model(inputs, [hidden, broken]), calibration_data=rows(8, 8))


@situation("truncates a TT layer with a NaN among its cores", refused="finite")
def nan_cores(folder):
    layer = dk.layers.TTDense(16, ranks=4, name="tt")
    keras.Sequential([keras.Input((16,)), layer])
    core = layer.cores[0].numpy()
    core.flat[0] = np.nan
    layer.cores[0].assign(core)
    layer.truncate(2)
