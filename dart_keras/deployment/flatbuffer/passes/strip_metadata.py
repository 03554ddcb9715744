from dart_keras.deployment.flatbuffer.serialization import pack, sweep, unpack


def slim(content: bytes, keep_names: bool) -> bytes:
    """Takes out of a file what no runtime reads.

    These are the names of inner tensors, the ranges that were measured to quantize, the
    converter's notes on itself, and shapes that are stored twice.

    Args:
        content: A `.tflite` file.
        keep_names: Whether inputs and outputs can be asked for by name, through the signature.

    Returns:
        A file that gives the same outputs, bit by bit.
    """
    model = unpack(content)
    model.description = model.metadata = model.metadataBuffer = None
    if not keep_names:
        model.signatureDefs = None
    for graph in model.subgraphs:
        interface = {int(tensor) for tensor in (*graph.inputs, *graph.outputs)}
        graph.name = None
        for place, tensor in enumerate(graph.tensors):
            if not (keep_names and place in interface):
                tensor.name = None
            if tensor.quantization is not None:
                tensor.quantization.min = tensor.quantization.max = None
    sweep(model)
    return pack(model)
