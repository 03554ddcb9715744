"""Where a layer holds other layers, and putting others in their place."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import keras
from keras.src.models.functional import Functional
from keras.src.ops.function import make_node_key
from keras.src.ops.node import KerasHistory
from keras.src.utils.tracking import DotNotTrackScope

Keys = Sequence[Any]

# TensorFlow's lists of what is in attributes as well.
OF_TENSORFLOW = {
    "_self_name_based_restores",
    "_self_saveable_object_factories",
    "_self_setattr_tracking",
    "_self_unconditional_checkpoint_dependencies",
    "_self_unconditional_deferred_dependencies",
    "_self_unconditional_dependency_names",
    "_self_update_uid",
}
# The same of Keras, and TensorFlow's.
_BOOKKEEPING = {"_layers", "_functional", "_operations", "_operations_by_depth", *OF_TENSORFLOW}


def describes_its_layers(layer: keras.Layer) -> bool:
    """Return whether the layer's config holds those of all its layers (Sequential, functional).

    Of a class with replaced sublayers, the config of the plain layer counts.
    """
    cls: Any = getattr(type(layer), "plain_class", type(layer))
    if cls.get_config is Functional.get_config:
        return _takes_a_graph(cls)
    return cls.get_config is keras.Sequential.get_config


def _takes_a_graph(cls: type) -> bool:
    # Keras's own function takes every constructor without arguments for one, up to version 3.14.
    positional, kinds = [], set()
    for parameter in inspect.signature(cls.__init__).parameters.values():  # type: ignore[misc]
        kinds.add(parameter.kind)
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(parameter.name)
    passes_all_on = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    return passes_all_on or positional == ["self", "inputs", "outputs", "name"]


def sublayers(layer: keras.Layer) -> Iterator[tuple[Keys, keras.Layer]]:
    """Yield the direct sublayers of a layer, each with every way that leads to it.

    The keys are an attribute's name followed by indices and keys of the containers it may hold;
    those of a Sequential or functional model's layers are `("layers", index)`.
    """
    if isinstance(layer, keras.Sequential | Functional):
        yield from _layers_in(layer.layers, ("layers",))
        if describes_its_layers(layer):
            return
    for name, value in vars(layer).items():
        if name not in _BOOKKEEPING:
            yield from _layers_in(value, (name,))


def own_weights(layer: keras.Layer) -> list[keras.Variable]:
    """Return the weights of a layer that are not those of a layer in it."""
    inner = {id(weight) for _, each in sublayers(layer) for weight in each.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def sublayer_at(layer: keras.Layer, keys: Keys) -> keras.Layer:
    """Return the sublayer that some of the keys of `sublayers` lead to."""
    value = getattr(layer, keys[0])
    for key in keys[1:]:
        value = value[key]
    return value


def replace_sublayers(holder: keras.Layer, replacements: Mapping[int, keras.Layer]) -> None:
    """Put other layers in the place of direct sublayers, wherever the holder refers to them.

    The order of `holder.weights` and, in a functional model, every call of a replaced layer stay.

    Args:
        holder: A layer or model.
        replacements: By the `id` of a sublayer, the built layer to take its place.
    """
    graphs = [holder, getattr(holder, "_functional", None)]
    for graph in graphs:
        if isinstance(graph, Functional):
            _replace_operations(graph, replacements)
    for each in filter(None, graphs):
        tracked = _replace_tracked(each, replacements)
        for name, value in list(vars(each).items()):
            if name in {"_functional", "_operations_by_depth", *OF_TENSORFLOW}:
                continue
            changed = substituted(value, replacements)
            if changed is not value:
                private = name in _BOOKKEEPING or not tracked
                with DotNotTrackScope() if private else nullcontext():
                    setattr(each, name, changed)


def _layers_in(value: Any, keys: Keys) -> Iterator[tuple[Keys, keras.Layer]]:
    if isinstance(value, keras.Layer):
        yield keys, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _layers_in(item, (*keys, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _layers_in(item, (*keys, key))


def substituted(value: Any, replacements: Mapping[int, Any]) -> Any:
    """Return an attribute's value with other layers or variables in the place of some.

    Args:
        value: A layer, a variable, containers of these, or anything else.
        replacements: By the `id` of a layer or variable, what takes its place.
    """
    # In new containers: TensorFlow refuses to save a list that an item was replaced in.
    if isinstance(value, keras.Layer | keras.Variable):
        return replacements.get(id(value), value)
    if not isinstance(value, list | tuple | dict):
        return value
    before = value.values() if isinstance(value, dict) else value
    items = [substituted(item, replacements) for item in before]
    if all(a is b for a, b in zip(items, before, strict=True)):
        return value
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    if hasattr(value, "_fields"):
        return value.__class__(*items)
    return tuple(items) if isinstance(value, tuple) else items


def _replace_tracked(holder: keras.Layer, replacements: Mapping[int, keras.Layer]) -> bool:
    # The tracked order is that of the weights. A layer that is tracked already is not put in twice.
    tracker = holder._tracker
    found = [layer for layer in tracker.config["layers"][1] if id(layer) in replacements]
    for old in found:
        if tracker.is_in_store("layers", replacements[id(old)]):
            tracker.untrack(old)
        else:
            tracker.replace_tracked_value("layers", old, replacements[id(old)])
    return bool(found)


def _replace_operations(graph: Functional, replacements: Mapping[int, keras.Layer]) -> None:
    renamed = {}
    for old in graph.operations:
        new = replacements.get(id(old))
        if new is None:
            continue
        for index, node in enumerate(old._inbound_nodes):
            if node.operation is old:
                _move_node(node, new)
            position = new._inbound_nodes.index(node)
            renamed[make_node_key(old, index)] = make_node_key(new, position)
    graph._nodes = {renamed.get(key, key) for key in graph._nodes}
    for operations in graph._operations_by_depth.values():
        operations[:] = substituted(operations, replacements)


def _move_node(node: Any, new: keras.Layer) -> None:
    node.operation = new
    new._inbound_nodes.append(node)
    for index, tensor in enumerate(node.outputs):
        tensor._keras_history = KerasHistory(new, len(new._inbound_nodes) - 1, index)
