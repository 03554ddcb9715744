"""The layers of a model at any depth, their calls, and the masks of what they return."""

import re
from collections.abc import Callable
from typing import Any

import keras
from keras.src import backend
from keras.src.utils.naming import to_snake_case


def flatten_layers(model: keras.Model) -> list[keras.Layer]:
    """Return all layers of a model at any depth, each once, those of custom layers included."""
    return model._flatten_layers(include_self=False)


def name_without_count(layer: keras.Layer) -> str:
    """Return a layer's name, without the number that Keras adds to a name of its own making.

    That number counts the layers of a class in a process, so it is another one in the next.
    """
    automatic = to_snake_case(type(layer).__name__)
    return automatic if re.fullmatch(rf"{automatic}(_\d+)?", layer.name) else layer.name


def nodes_of(model: Any) -> list[Any]:
    """Return every call of a layer or an operation in a Sequential or functional model, unordered.

    Unlike `model.layers` these have operations such as `+`, and unlike `layer.output` all calls.
    """
    graph = getattr(model, "_functional", None) or model  # a Sequential holds a functional model
    return [node for nodes in graph._nodes_by_depth.values() for node in nodes]


def flatten_operations(model: keras.Model) -> list[keras.Operation]:
    """Return all operations between the layers of a model and of those that it holds, each once.

    These are what `keras.ops` makes of symbolic tensors, such as those of `x + 1`.
    """
    found: dict[int, Any] = {}
    for layer in (model, *flatten_layers(model)):
        # Only Sequential and functional models have nodes.
        if hasattr(getattr(layer, "_functional", None) or layer, "_nodes_by_depth"):
            found |= {id(node.operation): node.operation for node in nodes_of(layer)}
    return [each for each in found.values() if not isinstance(each, keras.Layer)]


def is_reversed(node: Any) -> bool:
    """Return whether a call of an embedding was made with `reverse=True`."""
    return bool(node.arguments.kwargs.get("reverse"))


def is_looked_up(
    model: Any, tensor: keras.KerasTensor, looks_up_rows: Callable[[Any], bool]
) -> bool:
    """Return whether a tensor of a Sequential or functional model is an embedding's ids.

    Args:
        model: The model.
        tensor: One of its tensors.
        looks_up_rows: Whether an operation is an embedding.
    """
    return any(
        tensor is given
        for node in nodes_of(model)
        if looks_up_rows(node.operation) and not is_reversed(node)
        for given in node.input_tensors
    )


def mask_of(tensor: Any) -> Any:
    """Return the mask that Keras has attached to a tensor, `None` if there is none."""
    return backend.get_keras_mask(tensor)


def set_mask(tensor: Any, mask: Any) -> None:
    """Attach a mask to a tensor, as `keras.layers.ReversibleEmbedding` does from within `call`."""
    backend.set_keras_mask(tensor, mask)
