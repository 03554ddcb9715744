from typing import Any


def strip_metadata(model: Any) -> None:
    """Drop what no runtime reads; inputs and outputs keep their names, and the signature.

    These are the names of inner tensors, the ranges that were measured to quantize, the
    converter's notes on itself, and shapes that are stored twice. The outputs stay the same, to
    the bit.

    Args:
        model: A `ModelT`, changed in place.
    """
    model.description = model.metadata = model.metadataBuffer = None
    for graph in model.subgraphs:
        interface = {int(tensor) for tensor in (*graph.inputs, *graph.outputs)}
        graph.name = None
        for place, tensor in enumerate(graph.tensors):
            if place not in interface:
                tensor.name = None
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None
