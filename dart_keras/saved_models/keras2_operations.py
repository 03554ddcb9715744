"""TensorFlow functions between the layers of Keras 2, as the operations of Keras 3."""

from typing import Any

import keras

from dart_keras.private_apis import nodes_of

_OF_ONE = {
    "math.negative": "negative",
    "math.abs": "abs",
    "math.square": "square",
    "math.sqrt": "sqrt",
    "math.rsqrt": "rsqrt",
    "math.exp": "exp",
    "math.log": "log",
    "math.tanh": "tanh",
    "math.sigmoid": "sigmoid",
    "nn.relu": "relu",
    "nn.relu6": "relu6",
    "nn.elu": "elu",
    "nn.silu": "silu",
    "nn.softplus": "softplus",
    "nn.softmax": "softmax",
}
_OF_TWO = {
    "__operators__.add": "add",
    "math.add": "add",
    "math.subtract": "subtract",
    "math.multiply": "multiply",
    "math.truediv": "true_divide",
    "math.divide": "true_divide",
    "math.pow": "power",
    "math.maximum": "maximum",
    "math.minimum": "minimum",
}
_CONSTANT = "_CONSTANT_VALUE"


def operation_config(function: str, name: str) -> dict[str, Any] | None:
    """Return the config of the operation that does what a TensorFlow function does.

    Args:
        function: The function's name, as "math.add".
        name: What to call the operation.

    Returns:
        The config as Keras 3 serializes it; `None` if there is no such operation.

    Example:
        >>> operation_config("math.add", "sum")["class_name"]
        'Add'
    """
    if function not in (_OF_ONE | _OF_TWO):
        return None
    inputs = [keras.Input((1,)) for _ in range(2 if function in _OF_TWO else 1)]
    apply = getattr(keras.ops, (_OF_ONE | _OF_TWO)[function])
    model = keras.Model(inputs, apply(*inputs))
    [operation] = [
        node.operation for node in nodes_of(model) if not isinstance(node.operation, keras.Layer)
    ]
    config = keras.saving.serialize_keras_object(operation)
    return {**config, "config": {**config["config"], "name": name}}


def operation_arguments(node: Any) -> list[Any] | None:
    """Return what a function was called with: values, and tensors as lists that name a layer.

    Args:
        node: The call as Keras 2 writes it.

    Returns:
        One argument or two; `None` if there were others, such as an axis.
    """
    # A call with a single tensor is written without a list around it.
    if isinstance(node, list) and len(node) == 1:
        [node] = node
    if not isinstance(node, list) or len(node) != 4 or not isinstance(node[0], str):
        return None
    name, call, place, named = node
    first = place if name == _CONSTANT else [name, call, place]
    others = {key for key, value in named.items() if value is not None} - {"y"}
    if others:
        return None
    return [first, named["y"]] if "y" in named else [first]
