from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph, graphs_of

_RELU6_LIMIT = 6.0
_BITS = {"INT8": 8, "INT16": 16}


def keep_relu6_scales(model: Any) -> None:
    """Keep each quantized RELU6 from changing the scale.

    TensorFlow Lite Micro's RELU6 takes its output for one with the scale of its input, which the
    converter does not give it. Where the output has no integers for more than 6, a RELU, which has
    no such fault, does the same. Elsewhere a QUANTIZE changes the scale before the RELU6. The
    outputs stay the same where every operator keeps to its definition.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        _keep_scales(graph)


def _keep_scales(graph: Graph) -> None:
    quantized = [o for o in graph.operators("RELU6") if graph.dtype(o.outputs[0]) in _BITS]
    for operator in quantized:
        given, output = int(operator.inputs[0]), int(operator.outputs[0])
        if _ends_at_six(graph.quantization(output), graph.dtype(output)):
            graph.rename(operator, "RELU")
        else:
            scaled = graph.add_tensor(output, graph.shape(output))
            graph.rewire(operator, [scaled])
            graph.replace([operator], [graph.quantize(given, scaled), operator])


def _ends_at_six(quantization: Any, dtype: str) -> bool:
    scale, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
    # Half a step more would be rounded down to it.
    largest = np.float32(scale) * (2 ** (_BITS[dtype] - 1) - 1 - zero)
    return bool(largest < _RELU6_LIMIT + scale / 2)
