from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph, graphs_of
from dart_keras.deployment.flatbuffer.serialization import load_schema

_LARGEST = 2**31 - 1
# The magnitude of the most negative int16.
_LARGEST_INPUT = 2**15


def narrow_accumulators(model: Any) -> None:
    """Add up products of int16 by int8 in 32 bits, where no sum can overflow.

    The converter asks for 64 bits everywhere, for which LiteRT has its reference kernel alone. The
    outputs stay the same up to the rounding of each product's result, by a step of int16 or two.

    Not for boards: CMSIS-NN adds up in 64 bits whatever the file asks for, and reads biases of 32
    bits as ones of 64.

    Args:
        model: A `ModelT`, changed in place.
    """
    for graph in graphs_of(model):
        _narrow(graph)


def _narrow(graph: Graph) -> None:
    fitting = [product for product in graph.operators("FULLY_CONNECTED") if _fits(graph, product)]
    for product in fitting:
        product.builtinOptions.quantizedBiasType = load_schema().TensorType.INT32
        bias = graph.bias(product)
        if bias >= 0:
            # Other operators may have the same bias, and not fit.
            sums: Any = graph.constant(bias)
            narrow = graph.add_int32(bias, sums.view("int64"))
            graph.rewire(product, [*product.inputs[:2], narrow])


def _fits(graph: Graph, operator: Any) -> bool:
    given, kernel = (int(tensor) for tensor in operator.inputs[:2])
    weights = graph.constant(kernel)
    if weights is None or (graph.dtype(given), graph.dtype(kernel)) != ("INT16", "INT8"):
        return False
    rows = weights.view("int8").reshape(graph.shape(kernel)).astype("int64")
    largest = np.abs(rows).sum(axis=1) * _LARGEST_INPUT
    if (bias := graph.bias(operator)) >= 0:
        sums = graph.constant(bias)
        if sums is None or graph.dtype(bias) != "INT64":
            return False
        largest = largest + np.abs(sums.view("int64"))
    return bool(largest.max() <= _LARGEST)
