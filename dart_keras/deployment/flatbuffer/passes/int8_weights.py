from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph, graphs_of
from dart_keras.deployment.flatbuffer.serialization import load_schema

_LARGEST = 127


def narrow_weights(model: Any) -> None:
    """Give products weights of int8 that the converter left in int16.

    It does so to the core of an embedding that is both looked up in and multiplied by. TensorFlow
    Lite Micro does not multiply by int16, and LiteRT only with its reference kernel. Each channel
    of such weights gets a scale of its own.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        _narrow(graph, 1)


def narrow_weights_to_one_scale(model: Any) -> None:
    """Give products weights of int8 as `narrow_weights` does, all channels with the same scale.

    CMSIS-NN's kernel, which takes the place of TensorFlow Lite Micro's on boards, knows no other.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        _narrow(graph, None)


def _narrow(graph: Graph, axis: int | None) -> None:
    for product in graph.operators("FULLY_CONNECTED"):
        wide = int(product.inputs[1])
        values = graph.constant(wide)
        if values is None or graph.bias(product) >= 0 or graph.dtype(wide) != "INT16":
            continue
        rows = values.view("int16").reshape(graph.shape(wide)).astype("float64")
        steps = np.maximum(np.abs(rows).max(axis=axis, keepdims=True), 1.0) / _LARGEST
        small = np.round(rows / steps).astype("int8").ravel()
        narrow = graph.add_int8(wide, steps.ravel() * graph.scale(wide), small)
        graph.rewire(product, [int(product.inputs[0]), narrow, *product.inputs[2:]])
        product.builtinOptions.quantizedBiasType = load_schema().TensorType.INT64
