from typing import Any

import numpy as np

from dart_keras.deployment.flatbuffer.graph import Graph
from dart_keras.deployment.flatbuffer.packing import pack, sweep, unpack


def activations(graph: Graph, operator: Any) -> list[int]:
    """Returns the tensors that an operator is given when a file runs, each once, in order."""
    given = (int(tensor) for tensor in dict.fromkeys(operator.inputs) if tensor >= 0)
    return [tensor for tensor in given if graph.constant(tensor) is None]


def single_operator(content: bytes, place: int) -> bytes:
    """Takes one operator out of a file, with its constants, as a file of its own.

    Args:
        content: A `.tflite` file.
        place: The operator's place in the main subgraph.

    Returns:
        A file whose inputs are the operator's `activations` and whose outputs are its outputs.
    """
    model = unpack(content)
    main = model.subgraphs[0]
    operator = main.operators[place]
    main.inputs = np.array(activations(Graph(model, main), operator), "int32")
    main.outputs = operator.outputs
    main.operators = [operator]
    model.signatureDefs = None
    sweep(model)
    return pack(model)
