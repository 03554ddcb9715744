"""What ways to calibrate and gauges of tensor trains are worth in int8 and int16x8.

`python -m benchmarks.calibration_methods --data-dir DIR`, a folder with `mlperf_tiny` and `sst2`.
For each model, the signal-to-noise ratio against Keras on rows that were not calibrated on, on
LiteRT, with a scale for each channel of the weights and with a single one. Writes
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
from benchmarks import gauges, machine
from benchmarks.compression import anomaly_detection
from benchmarks.tables import RESULTS, Results
from dart_keras.deployment.build import executable
from dart_keras.deployment.flatbuffer.passes.fold_transposes import fold
from dart_keras.deployment.flatbuffer.passes.strip_metadata import slim
from dart_keras.deployment.post_training.activation_ranges import METHODS
from dart_keras.deployment.post_training.schemes import RECIPES
from dart_keras.deployment.post_training.tflite_converter import Lowering
from dart_keras.deployment.tracing.contraction_plans import DevicePlans
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature
from examples.fashion_mnist import data as fashion_mnist
from examples.fashion_mnist import experiment

ROWS = 200
WORDS, LENGTH = 8000, 24
# A model by its name, rows to calibrate on and rows to judge on.
Case = tuple[str, keras.Model, np.ndarray, np.ndarray]


def cases(folder: Path) -> Iterator[Case]:
    """The trained models."""
    yield from _anomaly_detection(folder / "mlperf_tiny" / "anomaly_detection")
    yield from _sentiment(folder / "sst2")
    yield from _fashion_mnist()


def _anomaly_detection(folder: Path) -> Iterator[Case]:
    recording = np.fromfile(folder / anomaly_detection.RECORDING, "<f4")
    rows = anomaly_detection.windows(recording)
    rows, judged = np.split(rows, [anomaly_detection.CALIBRATION_WINDOWS])
    model = keras.models.load_model(folder / anomaly_detection.MODEL, compile=False)
    budget = dk.selection.Budget(anomaly_detection.BUDGETS[0])
    small, _ = dk.compression.compress(model, budget, rows)
    yield "anomaly detection, a tenth of the weights", small, rows, judged


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
    judged, _ = read("dev.tsv", ROWS)
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
    yield "SST-2, TTEmbedding", model, ids[:ROWS], judged


def _fashion_mnist() -> Iterator[Case]:
    data = fashion_mnist.load()
    rows, judged = data.train_images[:ROWS], data.test_images[:ROWS]
    keras.utils.set_random_seed(0)
    plan = experiment.PLANS["part"]
    model = experiment.tt_model(plan.strength)
    cut = dk.callbacks.RankDiscretization(
        dk.selection.Threshold(plan.delta), when="converged", epoch=plan.cut_epoch
    )
    experiment.train(model, data, plan, experiment.TT_LEARNING_RATE, [cut], 0)
    yield "Fashion-MNIST, two cores a train, cut", model, rows, judged
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((784,)),
            dk.layers.TTDense(1024, 12, (4, 14, 14), (8, 8, 16), activation="relu"),
            dk.layers.TTDense(1024, 12, (8, 8, 16), (8, 8, 16), activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    few = experiment.Plan(epochs=4, batch=256, cut_epoch=0, strength=0)
    experiment.train(model, data, few, experiment.TT_LEARNING_RATE, [], 0)
    yield "Fashion-MNIST, three cores a train", model, rows, judged


def measured(
    model: keras.Model, rows: np.ndarray, judged: np.ndarray, quantization: str, method: str
) -> dict[str, Any]:
    """Decibels and bytes of the two files of a model."""
    recipe = RECIPES[quantization]
    signature = model_signature(model).resolved([rows])
    rows, judged = (x.astype(signature.inputs[0].dtype) for x in (rows, judged))
    exported = export(model, signature, DevicePlans("raspberry-pi", recipe))
    lowering = Lowering(exported, recipe, [rows], method)
    [expected] = exported([judged])
    found: dict[str, Any] = {}
    for scales, per_channel in (("per channel", True), ("per tensor", False)):
        file = executable(slim(fold(lowering.file(per_channel)), True), exported)
        [outputs] = file.run("litert", [judged]).outputs
        ratio = np.mean(expected**2) / np.mean((outputs - expected) ** 2)
        found[scales] = round(10 * math.log10(ratio), 2)
        found[f"bytes {scales}"] = len(file.content)
    return found


def gains(cells: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """For each recipe and way, the mean and the extremes of what it wins over the model as it is.

    In decibels, over the models, with a scale for each channel.
    """
    plain = {
        (cell["model"], cell["quantization"]): cell["per channel"]
        for cell in cells
        if (cell["calibration"], cell["gauge"]) == ("minmax", "as trained")
    }
    won: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        way = f"{cell['calibration']}, {cell['gauge']}"
        gain = cell["per channel"] - plain[cell["model"], cell["quantization"]]
        won.setdefault(cell["quantization"], {}).setdefault(way, []).append(gain)
    return {
        quantization: {
            way: {
                name: round(float(of(values)), 2)
                for name, of in (("mean", np.mean), ("least", min), ("most", max))
            }
            for way, values in ways.items()
        }
        for quantization, ways in won.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.calibration_methods", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    folder = parser.parse_args().data_dir
    machine.prepare()
    results = Results(
        "Decibels against Keras by calibration and gauge, on LiteRT",
        ["model", "quantization", "calibration", "gauge", "per channel", "per tensor"],
        RESULTS / "calibration_methods.json",
    )

    def add(case: Case, quantization: str, method: str, gauge: str) -> None:
        name, model, rows, judged = case
        cell = {"model": name, "quantization": quantization, "calibration": method, "gauge": gauge}
        results.add(cell | measured(model, rows, judged, quantization, method))

    for case in cases(folder):
        for quantization in ("int8", "int16x8"):
            for method in METHODS:
                if method != "minmax":
                    add(case, quantization, method, "as trained")
        _, model, rows, _ = case
        layers = gauges.trains(model)
        trained = [gauges.cores_of(layer) for layer in layers]
        for gauge, change in gauges.FROM_CORES.items():
            for layer, cores in zip(layers, trained, strict=True):
                gauges.assign(layer, change(cores))
            for quantization in ("int8", "int16x8"):
                add(case, quantization, "minmax", gauge)
        for layer, cores in zip(layers, trained, strict=True):
            gauges.assign(layer, cores)
        gauges.equalize_activations(model, rows)
        for quantization in ("int8", "int16x8"):
            add(case, quantization, "minmax", "equal activations")
    results.finish(gains(results.cells))


if __name__ == "__main__":
    main()
