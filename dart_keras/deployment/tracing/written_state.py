from collections.abc import Callable, Iterator
from typing import Any

from dart_keras.deployment.errors import ConversionError

# TensorFlow's operations that write a variable.
_WRITING = ("Assign", "ResourceScatter")


def check_stateless(function: Any, layer_of: Callable[[str], str | None]) -> None:
    """Check that a traced model writes no variable: a file has no memory from one row to the next.

    Args:
        function: The concrete function.
        layer_of: Returns the path of the layer that made the operation of a name.

    Raises:
        ConversionError: If it writes one, with the layers and the variables.
    """
    names = {id(variable.handle): variable.name for variable in function.variables}
    variables = {
        inside.name: names[id(outside)]
        for outside, inside in function.graph.captures
        if id(outside) in names
    }
    layers, written = [], []
    for operation, resource in _writes(function.graph):
        layers.append(layer_of(operation) or operation)
        # Inside a loop it has another name.
        if variable := variables.get(resource):
            written.append(variable.partition(":")[0])
    if layers:
        what = f" {', '.join(dict.fromkeys(written))}" if written else ""
        raise ConversionError(
            "Expected a model whose `call` writes no variables, because a file keeps nothing from "
            "one row to the next: take the state as an input and return the new one as an output "
            "(the guide 'My model is refused' shows how), and call layers such as Dropout and "
            f"BatchNormalization without training=True. Received: a model that writes{what}.",
            layers=layers,
        )


def _writes(graph: Any) -> Iterator[tuple[str, str]]:
    """Yield the names of the operations that write, loops included, and of what they write."""
    for operation in graph.get_operations():
        if operation.type.startswith(_WRITING):
            yield operation.name, operation.inputs[0].name
    for inner in graph.as_graph_def().library.function:
        for node in inner.node_def:
            if node.op.startswith(_WRITING):
                yield node.name, node.input[0]
