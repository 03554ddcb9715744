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


def nodes_of(model: Any) -> list[Any]:
    """Every call of a layer or an operation in a Sequential or functional model, in no order.

    Unlike `model.layers` these have operations such as `+`, and unlike `layer.output` all calls.
    """
    graph = getattr(model, "_functional", None) or model  # a Sequential holds a functional model
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]
