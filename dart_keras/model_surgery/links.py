from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from dart_keras.private_apis import flatten_layers, nodes_of, sublayers


class Link(NamedTuple):
    """Two operations of a graph, the second of which alone sees what the first makes.

    Attributes:
        layer: A layer.
        reader: The layer or operation after it.
        tensor: What goes from one to the other.
    """

    layer: keras.Layer
    reader: Any
    tensor: keras.KerasTensor


def links(model: keras.Model) -> Iterator[Link]:
    """Yield the layers of a model after which there is just one other operation.

    Only Sequential and functional models, nested or not, are searched, since Keras knows their
    graphs. Both must be called once and be held by nothing else, which could call them, too.

    Args:
        model: A built model.

    Yields:
        The links, in no order.

    Example:
        >>> stack = [keras.Input((4,)), keras.layers.Dense(3), keras.layers.ReLU()]
        >>> model = keras.Sequential(stack)
        >>> [(link.layer, link.reader) == tuple(model.layers) for link in links(model)]
        [True]
    """
    graphs = _graphs(model)
    calls, holders = _uses(model, graphs)

    def is_called_once(operation: Any) -> bool:
        return calls[id(operation)] == holders[id(operation)] == 1

    for graph in graphs:
        readers: dict[int, list[Any]] = {}
        for node in nodes_of(graph):
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor), []).append(node.operation)
        for tensor in keras.tree.flatten(graph.outputs):
            readers.setdefault(id(tensor), []).append(None)
        for node in nodes_of(graph):
            if not is_called_once(node.operation) or len(node.output_tensors) != 1:
                continue
            [output] = node.output_tensors
            match readers.get(id(output), []):
                case [reader] if reader is not None and is_called_once(reader):
                    yield Link(node.operation, reader, output)


def shared_layers(model: keras.Model) -> set[int]:
    """Return the ids of the layers that have several places in a model.

    Such a layer is called several times in a graph, or held by several layers.

    Args:
        model: A built model.
    """
    calls, holders = _uses(model, _graphs(model))
    return {key for counts in (calls, holders) for key, count in counts.items() if count > 1}


def _uses(model: keras.Model, graphs: list[Any]) -> tuple[Counter[int], Counter[int]]:
    calls = Counter(id(node.operation) for graph in graphs for node in nodes_of(graph))
    holders = Counter(
        inner
        for holder in (model, *flatten_layers(model))
        for inner in {id(each) for _, each in sublayers(holder)}
    )
    return calls, holders


def _graphs(model: keras.Layer) -> list[Any]:
    graphs = [model] if isinstance(model, keras.Model) and getattr(model, "inputs", None) else []
    for layer in getattr(model, "layers", []):
        if isinstance(layer, keras.Model):
            graphs += _graphs(layer)
    return graphs
