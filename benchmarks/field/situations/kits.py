"""What people do with a file on the board."""

import json
from pathlib import Path

import keras
import numpy as np

import dart_keras as dk
from benchmarks.field.models import rows
from benchmarks.field.shell import command
from benchmarks.field.situation import situation


def _kit(folder, *arguments):
    return command(Path("tflite/raspberry_pi").resolve(), *arguments, folder=folder)


@situation("benchmarks a masked model on the board", needs=("ai_edge_litert",))
def benchmark_of_a_masked_model(folder):
    inputs = keras.Input((6,), dtype="int32")
    table = keras.layers.Embedding(20, 8, mask_zero=True)(inputs)
    pooled = keras.layers.GlobalAveragePooling1D()(table)
    model = keras.Model(inputs, keras.layers.Dense(2)(pooled))
    ids = np.random.default_rng(0).integers(1, 20, (8, 6))
    dk.deployment.convert(model, calibration_data=ids).save(folder / "board")
    ended = _kit(folder, "benchmark", "board/model.tflite", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)


@situation("classifies with a single sigmoid on the board", needs=("ai_edge_litert",))
def single_sigmoid(folder):
    layers = [keras.Input((8,)), keras.layers.Dense(1, "sigmoid")]
    x = rows(8, 8)
    dk.deployment.convert(keras.Sequential(layers), calibration_data=x).save(folder / "board")
    np.save(folder / "x.npy", x)
    (folder / "labels.txt").write_text("no\nyes\n")
    labels = ("--labels", "labels.txt")
    ended = _kit(folder, "classify", "board/model.tflite", "x.npy", *labels)
    assert ended.code == 0, ended.err
    assert "yes" in ended.out, ended.out
    assert "no" in ended.out, ended.out


@situation("passes an id out of range on the board", needs=("ai_edge_litert",))
def id_out_of_range(folder):
    model = keras.Sequential([keras.Input((4,), dtype="int32"), keras.layers.Embedding(20, 8)])
    ids = np.random.default_rng(0).integers(0, 20, (8, 4))
    dk.deployment.convert(model, calibration_data=ids).save(folder / "board")
    np.save(folder / "x.npy", ids + 20)
    ended = _kit(folder, "run", "board/model.tflite", "x.npy", "y.npy")
    assert ended.code != 0, ended.out
    assert "id" in ended.err.split(), ended.err
