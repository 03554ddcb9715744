"""Accuracy against size of a trained dense network, compressed by this library and by others.

Needs all of Fashion-MNIST: `TFDS_DATA_DIR=... python -m benchmarks.compression.fashion_mnist`.
Writes benchmarks/results/compression_fashion_mnist.json and
docs/studies/compression_fashion_mnist.png. Every accuracy is that of an int8 file on LiteRT on the
10,000 test images. Training after compression takes three epochs on the training images. For this
library and the plain decompositions it uses no labels. This library compresses the network with a
softmax after it, so that its errors are errors of probabilities. The files of all methods end with
the logits.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from benchmarks import environment
from benchmarks.compression import decompositions, int8_files, model_optimization, pareto
from benchmarks.tables import PICTURES, RESULTS, Results
from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import DENSE_LEARNING_RATE, PLANS, dense_model, train

# Rows for the activation ranges of int8.
REPRESENTATIVE_ROWS = 1000
EPOCHS = model_optimization.EPOCHS
# The compressed model has at most 1/5, 1/10, ... of the parameters.
SHARES = (5, 10, 20, 50, 100)
TFMOT = {"pruning": (0.8, 0.95, 0.98, 0.99), "clustering": (16, 4, 2)}
# Allowed loss in points of accuracy, by share of the parameters and epochs.
AIMS = {(20, 0): 1.0, (50, EPOCHS): 0.5}


class Benchmark:
    """The trained network, and the results of all files made of it."""

    def __init__(self, images: data.FashionMnist, results: Results) -> None:
        self.images = images
        self.representative = images.train_images[:REPRESENTATIVE_ROWS]
        self.results = results
        keras.utils.set_random_seed(PLANS["all"].seed)
        self.model = dense_model()
        train(self.model, images, PLANS["all"], DENSE_LEARNING_RATE, [], 0)
        self.float_accuracy = self.accuracy(self.model)

    def accuracy(self, model: keras.Model) -> float:
        """Return the accuracy of a Keras model in float32."""
        logits = model.predict(self.images.test_images, batch_size=512, verbose=0)
        return float(np.mean(logits.argmax(-1) == self.images.test_labels))

    def add_model(self, method: str, setting: str, model: keras.Model, epochs: int) -> None:
        """Convert a model and add its file to the results."""
        artifact = dk.deployment.convert(
            model, quantization="int8", calibration_data=self.representative
        )
        about = {"parameters": model.count_params(), "float32 accuracy": self.accuracy(model)}
        self.add_file(method, setting, artifact.content, epochs, "file bytes", about)

    def add_file(
        self, method: str, setting: str, content: bytes, epochs: int, size: str, about: Any = None
    ) -> None:
        """Add a file to the results; `size` names the size that counts."""
        measured = int8_files.measure(content, self.images)
        cell = {"method": method, "setting": setting, "epochs": epochs}
        self.results.add({**cell, "bytes": measured[size], **measured, **(about or {})})

    def add_front(self, method: str, compressed: Callable[[int, int], keras.Model]) -> None:
        """Add the models of all sizes, before and after training.

        Args:
            method: Name of the method.
            compressed: Makes a model, given a maximum number of parameters and a number of epochs.
        """
        for share in SHARES:
            for epochs in (0, EPOCHS):
                start = time.perf_counter()
                small = compressed(self.model.count_params() // share, epochs)
                print(f"{method} took {time.perf_counter() - start:.0f} s", file=sys.stderr)
                self.add_model(method, f"1/{share}", small, epochs)

    def compressed(self, parameters: int, epochs: int) -> keras.Model:
        """Compress by this library, on 16,384 training images; train on all of them."""
        small, report = dk.compression.compress(
            with_probabilities(self.model),
            dk.budgets.Parameters(parameters),
            self.images.train_images,
            recovery_epochs=epochs,
        )
        print(report, file=sys.stderr)
        return small.layers[0]

    def decomposed(self, decompose: Any, parameters: int, epochs: int) -> keras.Model:
        """Decompose by the weights alone; train on the network's outputs."""
        small = decompose(self.model, parameters)
        if epochs:
            pair = map(with_probabilities, (small, self.model))
            dk.compression.recover(*pair, self.images.train_images, epochs)
        return small

    def summary(self) -> dict[str, Any]:
        """Return the losses beside their limits, and our margins over the others."""
        cells = self.results.cells
        [full] = [cell for cell in cells if cell["method"] == pareto.FULL]
        lost = {}
        for (share, epochs), most in AIMS.items():
            for cell in cells:
                key = (cell["method"], cell["setting"], cell["epochs"])
                if key == (pareto.OURS, f"1/{share}", epochs):
                    lost[f"1/{share} of the parameters, {epochs} epochs"] = {
                        "aim": most,
                        "float32": _points(full["float32 accuracy"] - cell["float32 accuracy"]),
                        "int8": _points(full["accuracy"] - cell["accuracy"]),
                    }
        return {
            "points of accuracy lost": lost,
            "our front above others, no training": pareto.margins(cells, trained=False),
            f"our front above others, {EPOCHS} epochs": pareto.margins(cells, trained=True),
        }


def with_probabilities(model: keras.Model) -> keras.Model:
    """Return the model with a softmax after it."""
    return keras.Sequential([model, keras.layers.Softmax()])


def _points(share: float) -> float:
    return round(100 * share, 2)


def main() -> None:
    environment.prepare()
    images = data.load()
    if len(images.train_images) != 60_000:
        sys.exit("Expected all of Fashion-MNIST in TFDS_DATA_DIR. Received: the included part only")
    picture = PICTURES / "compression_fashion_mnist.png"
    results = Results(
        "Accuracy of int8 files of a compressed 784-1024-1024-10 network on Fashion-MNIST",
        ["method", "setting", "epochs", "file bytes", "gzipped bytes", "accuracy"],
        RESULTS / "compression_fashion_mnist.json",
        picture,
    )
    benchmark = Benchmark(images, results)
    model = benchmark.model
    benchmark.add_model(pareto.FULL, "", model, 0)
    benchmark.add_front(pareto.OURS, benchmark.compressed)
    for method, decompose in (
        ("plain SVD", decompositions.plain_svd),
        ("TT-SVD, one rank", decompositions.tt_svd),
    ):
        benchmark.add_front(method, partial(benchmark.decomposed, decompose))
    files = model_optimization.run(model.get_weights(), TFMOT)
    for (method, value), content in files.items():
        # Zeros and repeated values shrink a file only when it is gzipped.
        benchmark.add_file(method, str(value), content, EPOCHS, "gzipped bytes")
    results.finish(benchmark.summary())
    pareto.draw(results.cells, picture)


if __name__ == "__main__":
    main()
