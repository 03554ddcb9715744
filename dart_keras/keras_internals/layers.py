from typing import Any

import keras


def flatten_layers(model: keras.Model) -> list[keras.Layer]:
    """All layers of a model at any depth, each once, those of custom layers included."""
    return model._flatten_layers(include_self=False)


def tensors_into(layer: keras.Layer) -> list[keras.KerasTensor]:
    """The symbolic tensors that a layer was called on, in all functional models it is in."""
    return [tensor for node in layer._inbound_nodes for tensor in node.input_tensors]


def recorded_shapes(model: keras.Model) -> dict[str, Any] | None:
    """The shapes of `call`'s arguments that a subclassed model was built with, by name."""
    return model._build_shapes_dict
