from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph, graphs_of

_LARGEST = 127


def narrow_tables(model: Any) -> None:
    """Make int16 tables int8, of which TensorFlow Lite Micro can gather rows.

    The rows become int16 after the GATHER. A table has one scale, as that operator wants it; its
    entries are as coarse as other weights.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        _narrow(graph)


def _narrow(graph: Graph) -> None:
    for gather in graph.operators("GATHER"):
        table, wide = int(gather.inputs[0]), int(gather.outputs[0])
        values = graph.constant(table)
        if values is None or graph.dtype(table) != "INT16":
            continue
        numbers = values.view("int16").astype("float64")
        steps = max(float(np.abs(numbers).max()), 1.0) / _LARGEST
        scale = steps * graph.scale(table)
        narrow = graph.add_int8(wide, scale)
        small = graph.add_int8(table, scale, np.round(numbers / steps).astype("int8"))
        graph.rewire(gather, [small, *gather.inputs[1:]], narrow)
        graph.replace([gather], [gather, graph.quantize(narrow, wide)])
