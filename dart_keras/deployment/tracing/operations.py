"""Operations of `keras.ops` between the layers of a functional model."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

from dart_keras.deployment.tracing.converting import converting, other_function
from dart_keras.private_apis import flatten_operations


@contextmanager
def operations_traced(model: keras.Model, scopes: dict[str, str]) -> Iterator[None]:
    """Let a model's operations be found in the graph that is traced, and have a builtin operator.

    Args:
        model: The model.
        scopes: Gets for the name scope of each operation in the graph the operation's name.
    """
    operations = flatten_operations(model)
    with converting():
        try:
            for operation in operations:
                recorded = _recorded(operation, scopes)
                operation.__dict__["call"] = other_function(operation.call, recorded)
            yield
        finally:
            for operation in operations:
                operation.__dict__.pop("call", None)


def _recorded(operation: Any, scopes: dict[str, str]) -> Callable[..., Any]:
    import tensorflow as tf

    # Keras tells 0 from -0, which takes an operator that TensorFlow Lite has not got.
    find = {"Argmax": tf.argmax, "Argmin": tf.argmin}.get(type(operation).__name__)
    call = operation.call if find is None else _index(find, operation)

    def recorded(*arguments: Any, **named: Any) -> Any:
        # Layers open a scope by themselves.
        with tf.name_scope(operation.name):
            scopes[tf.get_current_name_scope()] = operation.name
            return call(*arguments, **named)

    return recorded


def _index(find: Callable[..., Any], operation: Any) -> Callable[[Any], Any]:
    import tensorflow as tf

    def index(x: Any) -> Any:
        axis = operation.axis
        found = find(tf.reshape(x, [-1]) if axis is None else x, axis or 0, output_type="int32")
        if not operation.keepdims:
            return found
        return (
            tf.reshape(found, [1] * len(x.shape)) if axis is None else tf.expand_dims(found, axis)
        )

    return index
