from typing import Any

import keras


def flatten_layers(model: keras.Model) -> list[keras.Layer]:
    """All layers of a model at any depth, each once, those of custom layers included."""
    return model._flatten_layers(include_self=False)


def is_reversed(node: Any) -> bool:
    """Whether a call of an embedding was made with `reverse=True`."""
    return bool(node.arguments.kwargs.get("reverse"))


def recorded_shapes(model: keras.Model) -> dict[str, Any] | None:
    """The shapes of `call`'s arguments that a subclassed model was built with, by name."""
    return model._build_shapes_dict


def nodes_of(model: Any) -> list[Any]:
    """Every call of a layer or an operation in a Sequential or functional model, in no order.

    Unlike `model.layers` these have operations such as `+`, and unlike `layer.output` all calls.
    """
    graph = getattr(model, "_functional", None) or model  # a Sequential holds a functional model
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def is_looked_up(model: Any, tensor: keras.KerasTensor, tables: tuple[type, ...]) -> bool:
    """Whether a tensor of a Sequential or functional model goes straight into an embedding, as ids.

    Args:
        model: The model.
        tensor: One of its tensors.
        tables: The classes of embeddings.
    """
    return any(
        tensor is given
        for node in nodes_of(model)
        if isinstance(node.operation, tables) and not is_reversed(node)
        for given in node.input_tensors
    )
