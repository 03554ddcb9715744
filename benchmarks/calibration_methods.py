"""Accuracy of int8 and int16x8 files by calibration method and by core basis.

`python -m benchmarks.calibration_methods --data-dir DIR`, where DIR has `mlperf_tiny` and `sst2`.
Measures the signal-to-noise ratio (SQNR) against Keras on held-out rows for each model on LiteRT,
with one weight scale per channel and with one per tensor. Writes
benchmarks/results/calibration_methods.json.
"""

import argparse
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from benchmarks import core_bases, environment
from benchmarks.compression import anomaly_detection
from benchmarks.tables import RESULTS, Results
from dart_keras.deployment.build import executable
from dart_keras.deployment.flatbuffer.passes import apply_passes
from dart_keras.deployment.flatbuffer.serialization import pack
from dart_keras.deployment.post_training.activation_ranges import METHODS
from dart_keras.deployment.post_training.tflite_converter import FileConverter
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from examples.fashion_mnist import data as fashion_mnist
from examples.fashion_mnist import experiment

ROWS = 200
WORDS, LENGTH = 8000, 24
# Name, model, calibration rows, test rows.
Case = tuple[str, keras.Model, np.ndarray, np.ndarray]


def cases(folder: Path) -> Iterator[Case]:
    """Yield the trained models with their data."""
    yield from _anomaly_detection(folder / "mlperf_tiny" / "anomaly_detection")
    yield from _sentiment(folder / "sst2")
    yield from _fashion_mnist()


def _anomaly_detection(folder: Path) -> Iterator[Case]:
    recording = np.fromfile(folder / anomaly_detection.RECORDING, "<f4")
    rows = anomaly_detection.windows(recording)
    rows, test_rows = np.split(rows, [anomaly_detection.CALIBRATION_WINDOWS])
    model = keras.models.load_model(folder / anomaly_detection.MODEL, compile=False)
    budget = dk.budgets.Parameters(anomaly_detection.BUDGETS[0])
    small, _ = dk.compression.compress(model, budget, rows)
    yield "anomaly detection, a tenth of the weights", small, rows, test_rows


def _sentiment(folder: Path) -> Iterator[Case]:
    words: dict[str, int] = {}

    def read(name: str, most: int) -> tuple[np.ndarray, np.ndarray]:
        lines = [line.split("\t") for line in (folder / name).read_text().splitlines()[1:]]
        ids = np.zeros((min(len(lines), most), LENGTH), "int32")
        for row, (text, _) in zip(ids, lines, strict=False):
            for place, word in enumerate(text.split()[:LENGTH]):
                if name == "train.tsv" and len(words) < WORDS - 1:
                    words.setdefault(word, len(words) + 1)
                row[place] = words.get(word, 0)
        return ids, np.array([int(label) for _, label in lines[: len(ids)]])

    ids, labels = read("train.tsv", 20_000)
    test_rows, _ = read("dev.tsv", ROWS)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            dk.layers.TTEmbedding(WORDS, 64, 8, (20, 20, 20), (4, 4, 4)),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(ids, labels, batch_size=256, epochs=4, verbose=0)
    yield "SST-2, TTEmbedding", model, ids[:ROWS], test_rows


def _fashion_mnist() -> Iterator[Case]:
    data = fashion_mnist.load()
    rows, test_rows = data.train_images[:ROWS], data.test_images[:ROWS]
    keras.utils.set_random_seed(0)
    plan = experiment.PLANS["part"]
    model = experiment.tt_model()
    truncation = dk.callbacks.RankDiscretization(dk.budgets.Parameters(plan.parameters))
    experiment.train(model, data, plan, experiment.TT_LEARNING_RATE, [truncation], 0)
    yield "Fashion-MNIST, two cores, ranks truncated", model, rows, test_rows
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((784,)),
            dk.layers.TTDense(1024, 12, (4, 14, 14), (8, 8, 16), activation="relu"),
            dk.layers.TTDense(1024, 12, (8, 8, 16), (8, 8, 16), activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    few = experiment.Plan(epochs=4, batch=256)
    experiment.train(model, data, few, experiment.TT_LEARNING_RATE, [], 0)
    yield "Fashion-MNIST, three cores", model, rows, test_rows


def measured(
    model: keras.Model, rows: np.ndarray, test_rows: np.ndarray, quantization: str, method: str
) -> dict[str, Any]:
    """Return the SQNR (dB) and the bytes of the files with per-channel and per-tensor scales."""
    scheme = SCHEMES[quantization]
    signature = model_signature(model).resolved([rows])
    rows, test_rows = (x.astype(signature.inputs[0].dtype) for x in (rows, test_rows))
    exported = export(model, signature, DevicePlans("raspberry-pi", scheme))
    converter = FileConverter(exported, scheme, [rows], method)
    [expected] = exported([test_rows])
    found: dict[str, Any] = {}
    for scales, per_channel in (("per channel", True), ("per tensor", False)):
        model = converter.model(per_channel)
        for stage in ("optimize", "strip"):
            apply_passes(model, stage, ["litert"])
        file = executable(pack(model), exported)
        [outputs] = file.run("litert", [test_rows]).outputs
        ratio = np.mean(expected**2) / np.mean((outputs - expected) ** 2)
        found[scales] = round(10 * math.log10(ratio), 2)
        found[f"bytes {scales}"] = len(file.content)
    return found


def mean_gains(cells: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean, least and greatest gain in SQNR (dB) over the unchanged model.

    Statistics over the models, with per-channel scales, by quantization and method.
    """
    plain = {
        (cell["model"], cell["quantization"]): cell["per channel"]
        for cell in cells
        if (cell["calibration"], cell["core basis"]) == ("minmax", "as trained")
    }
    won: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        method = f"{cell['calibration']}, {cell['core basis']}"
        gain = cell["per channel"] - plain[cell["model"], cell["quantization"]]
        won.setdefault(cell["quantization"], {}).setdefault(method, []).append(gain)
    return {
        quantization: {
            method: {
                name: round(float(of(values)), 2)
                for name, of in (("mean", np.mean), ("least", min), ("most", max))
            }
            for method, values in methods.items()
        }
        for quantization, methods in won.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.calibration_methods", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    folder = parser.parse_args().data_dir
    environment.prepare()
    results = Results(
        "SQNR (dB) against Keras by calibration and core basis, on LiteRT",
        ["model", "quantization", "calibration", "core basis", "per channel", "per tensor"],
        RESULTS / "calibration_methods.json",
    )

    def add(case: Case, quantization: str, method: str, basis: str) -> None:
        name, model, rows, test_rows = case
        cell = {
            "model": name,
            "quantization": quantization,
            "calibration": method,
            "core basis": basis,
        }
        results.add(cell | measured(model, rows, test_rows, quantization, method))

    for case in cases(folder):
        for quantization in ("int8", "int16x8"):
            for method in METHODS:
                if method != "minmax":
                    add(case, quantization, method, "as trained")
        _, model, rows, _ = case
        layers = core_bases.tt_layers(model)
        trained = [core_bases.cores_of(layer) for layer in layers]
        for basis, change in core_bases.FROM_CORES.items():
            for layer, cores in zip(layers, trained, strict=True):
                core_bases.assign(layer, change(cores))
            for quantization in ("int8", "int16x8"):
                add(case, quantization, "minmax", basis)
        for layer, cores in zip(layers, trained, strict=True):
            core_bases.assign(layer, cores)
        core_bases.equalize_activations(model, rows)
        for quantization in ("int8", "int16x8"):
            add(case, quantization, "minmax", "equal activations")
    results.finish(mean_gains(results.cells))


if __name__ == "__main__":
    main()
