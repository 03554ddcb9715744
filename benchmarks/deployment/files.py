"""The compared files: each tool's conversions of the dense network and of its TT equivalent."""

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
TFMOT = "tensorflow-model-optimization"
EXPORT = "Keras export"
EDGE = "ai-edge-quantizer"
DENSE, TT = "dense", "TT"
TARGET = "microcontroller"
AWARE = "int8, quantization-aware"
EPOCHS = model_optimization.EPOCHS
TFMOT_METHODS = {
    "pruned to 90 % zeros, int8": ("pruning", 0.9),
    "16 values a layer, int8": ("clustering", 16),
    AWARE: ("quantization-aware", EPOCHS),
}
EDGE_NEEDS = ("ai_edge_quantizer",)
EDGE_RECIPES = (edge_quantizer.STATIC_INT8, edge_quantizer.STATIC_INT16, edge_quantizer.DYNAMIC)


@dataclass(frozen=True)
class Conversion:
    """One conversion to a `.tflite` file.

    Attributes:
        tool: Name of the tool.
        network: Which network: dense or TT.
        method: Name of the tool's method.
        make: Makes the content of the `.tflite` file.
        needs: Required packages beyond the extra `deployment`, by import name.
    """

    tool: str
    network: str
    method: str
    make: Callable[[], bytes]
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Unique name of the conversion."""
        return f"{self.tool}, {self.network}, {self.method}"

    @property
    def missing(self) -> list[str]:
        """Required packages that are not installed."""
        return [package for package in self.needs if importlib.util.find_spec(package) is None]


def conversions(
    dense: keras.Model, tt_model: keras.Model, images: FashionMnist
) -> Iterator[Conversion]:
    """Yield all conversions; every tool gets the same rows for activation ranges.

    Args:
        dense: The trained dense network.
        tt_model: Its TT equivalent, trained and truncated.
        images: The data.
    """
    rows = images.train_images[: model_optimization.REPRESENTATIVE_ROWS]

    def converted(model: keras.Model, quantization: str, target: str = TARGET) -> bytes:
        made = dk.deployment.convert(
            model, target, quantization=quantization, calibration_data=rows
        )
        return made.content

    for quantization in ("float32", "int8", "int16x8"):
        yield Conversion(OURS, TT, quantization, partial(converted, tt_model, quantization))
    board = partial(converted, tt_model, "int8", "raspberry-pi")
    yield Conversion(OURS, TT, "int8, for a Raspberry Pi", board)
    aware = partial(trained_int8_file, tt_model, images)
    yield Conversion(OURS, TT, AWARE, aware, ("tensorflow_model_optimization",))
    yield Conversion(OURS, DENSE, "int8", partial(converted, dense, "int8"))
    needs = ("tensorflow_model_optimization", "tf_keras")
    for method, (toolkit_method, value) in TFMOT_METHODS.items():
        make = partial(tfmot_file, dense.get_weights(), toolkit_method, value)
        yield Conversion(TFMOT, DENSE, method, make, needs)
    for network, model in ((DENSE, dense), (TT, tt_model)):
        yield Conversion(EXPORT, network, "float32", partial(exported, model))
        yield Conversion(EXPORT, network, "float32, one row", partial(exported, model, True))
        yield Conversion(EXPORT, network, "int8, one row", partial(exported, model, True, rows))
        for recipe in EDGE_RECIPES:
            make = partial(edge_file, model, recipe, rows)
            yield Conversion(EDGE, network, recipe, make, EDGE_NEEDS)
    ours = partial(edge_file_of_ours, tt_model, rows)
    yield Conversion(
        EDGE, TT, f"{edge_quantizer.STATIC_INT8} of {OURS}'s float32", ours, EDGE_NEEDS
    )


def trained_int8_file(model: keras.Model, images: FashionMnist) -> bytes:
    """Convert by this library after quantization-aware training, as long as the toolkit's."""
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


def tfmot_file(weights: list[np.ndarray], method: str, value: float) -> bytes:
    """Convert by tensorflow-model-optimization, from the dense network's weights."""
    [content] = model_optimization.run(weights, {method: (value,)}).values()
    return content


def edge_file(model: keras.Model, recipe: str, rows: np.ndarray) -> bytes:
    """Convert by ai-edge-quantizer, from the float file that Keras exports for one row."""
    return edge_quantizer.quantized(exported(model, one_row=True), recipe, rows)


def edge_file_of_ours(model: keras.Model, rows: np.ndarray) -> bytes:
    """Convert by ai-edge-quantizer, from this library's float file with its signature."""
    content = dk.deployment.convert(model, "raspberry-pi").content
    return edge_quantizer.quantized(content, edge_quantizer.STATIC_INT8, rows)
