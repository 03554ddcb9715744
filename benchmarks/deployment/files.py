"""The files that are compared: what each tool makes of the dense network and of its train."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

import dart_keras as dk
from benchmarks.compression import model_optimization
from benchmarks.deployment import edge_quantizer
from benchmarks.deployment.keras_export import exported
from examples.fashion_mnist.data import FashionMnist

OURS = "dart_keras"
TOOLKIT = "tensorflow-model-optimization"
EXPORT = "Keras export"
EDGE = "ai-edge-quantizer"
DENSE, TRAIN = "dense", "train"
TARGET = "microcontroller"
AWARE = "int8, quantization-aware"
EPOCHS = model_optimization.EPOCHS
TOOLKIT_METHODS = {
    "pruned to 90 % zeros, int8": ("pruning", 0.9),
    "16 values a layer, int8": ("clustering", 16),
    AWARE: ("quantization-aware", EPOCHS),
}
EDGE_NEEDS = ("ai_edge_quantizer",)
EDGE_RECIPES = (edge_quantizer.STATIC_INT8, edge_quantizer.STATIC_INT16, edge_quantizer.DYNAMIC)


@dataclass(frozen=True)
class Way:
    """One way to a file.

    Args:
        tool: Who makes it.
        network: What of: the dense network or the train.
        recipe: How.
        make: Makes the content of the `.tflite` file.
        needs: The packages it takes beside the extra `deployment`, as they are imported.
    """

    tool: str
    network: str
    recipe: str
    make: Callable[[], bytes]
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.tool}, {self.network}, {self.recipe}"

    @property
    def missing(self) -> list[str]:
        """Those of the packages that are not installed."""
        return [package for package in self.needs if importlib.util.find_spec(package) is None]


def ways(dense: keras.Model, train: keras.Model, images: FashionMnist) -> Iterator[Way]:
    """Every way to a file, each tool's with the same rows to find ranges from.

    Args:
        dense: The trained dense network.
        train: Its tensor-train twin, trained and cut.
        images: The data.
    """
    rows = images.train_images[: model_optimization.REPRESENTATIVE_ROWS]

    def converted(model: keras.Model, recipe: str, target: str = TARGET) -> bytes:
        made = dk.deployment.convert(model, target, quantization=recipe, calibration_data=rows)
        return made.content

    for recipe in ("float32", "int8", "int16x8"):
        yield Way(OURS, TRAIN, recipe, partial(converted, train, recipe))
    board = partial(converted, train, "int8", "raspberry-pi")
    yield Way(OURS, TRAIN, "int8, for a Raspberry Pi", board)
    aware = partial(trained_int8_file, train, images)
    yield Way(OURS, TRAIN, AWARE, aware, ("tensorflow_model_optimization",))
    yield Way(OURS, DENSE, "int8", partial(converted, dense, "int8"))
    needs = ("tensorflow_model_optimization", "tf_keras")
    for recipe, (method, value) in TOOLKIT_METHODS.items():
        make = partial(toolkit_file, dense.get_weights(), method, value)
        yield Way(TOOLKIT, DENSE, recipe, make, needs)
    for network, model in ((DENSE, dense), (TRAIN, train)):
        yield Way(EXPORT, network, "float32", partial(exported, model))
        yield Way(EXPORT, network, "float32, one row", partial(exported, model, True))
        yield Way(EXPORT, network, "int8, one row", partial(exported, model, True, rows))
        for recipe in EDGE_RECIPES:
            make = partial(edge_file, model, recipe, rows)
            yield Way(EDGE, network, recipe, make, EDGE_NEEDS)
    ours = partial(edge_file_of_ours, train, rows)
    yield Way(EDGE, TRAIN, f"{edge_quantizer.STATIC_INT8} of {OURS}'s float32", ours, EDGE_NEEDS)


def trained_int8_file(model: keras.Model, images: FashionMnist) -> bytes:
    """By this library, trained on with the steps that the toolkit's own training gets."""
    aware = dk.quantization.quantize_aware(model, target=TARGET)
    settings = model_optimization.QUANTIZATION_AWARE
    aware.compile(
        keras.optimizers.Adam(settings["learning_rate"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    aware.fit(
        images.train_images,
        images.train_labels,
        batch_size=settings["batch"],
        epochs=EPOCHS,
        verbose=0,
    )
    return dk.deployment.convert(aware, TARGET, quantization="int8").content


def toolkit_file(weights: list[np.ndarray], method: str, value: float) -> bytes:
    """By tensorflow-model-optimization, from the dense network's weights."""
    [content] = model_optimization.run(weights, {method: (value,)}).values()
    return content


def edge_file(model: keras.Model, recipe: str, rows: np.ndarray) -> bytes:
    """By ai-edge-quantizer, from the float file that Keras exports for one row."""
    return edge_quantizer.quantized(exported(model, one_row=True), recipe, rows)


def edge_file_of_ours(model: keras.Model, rows: np.ndarray) -> bytes:
    """By ai-edge-quantizer, from the float file that this library makes, signature and all."""
    content = dk.deployment.convert(model, "raspberry-pi").content
    return edge_quantizer.quantized(content, edge_quantizer.STATIC_INT8, rows)
