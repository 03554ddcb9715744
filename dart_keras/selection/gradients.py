"""Gradients of a model's loss on each backend."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras

from dart_keras.private_apis import compiled_loss


def loss_gradients(
    model: keras.Model, variables: Sequence[keras.Variable], batches: Iterable[tuple[Any, Any]]
) -> Iterator[list[Any]]:
    """Yield the gradients of the compiled loss, without the penalties that layers add to it.

    Args:
        model: A compiled model.
        variables: Trainable ones of it.
        batches: Pairs of inputs and targets.

    Yields:
        For each batch a tensor for each variable.
    """
    gradients = {"tensorflow": _with_tensorflow, "jax": _with_jax, "torch": _with_torch}[
        keras.backend.backend()
    ]
    step = gradients(model, variables)
    for x, y in batches:
        yield step(x, y)


def _with_tensorflow(model: keras.Model, variables: Sequence[keras.Variable]) -> Any:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(x: Any, y: Any) -> list[Any]:
        watched = [variable.value for variable in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(watched)
            loss = compiled_loss(model, y, model(x, training=False))
        return tape.gradient(loss, watched, unconnected_gradients="zero")

    traced: dict[Any, Any] = {}

    def on_batch(x: Any, y: Any) -> list[Any]:
        x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
        shapes = tuple((array.shape, array.dtype) for array in keras.tree.flatten((x, y)))
        # Called as a whole, functions that are made and traced again and again would be warned of.
        if shapes not in traced:
            traced[shapes] = step.get_concrete_function(x, y)
        return traced[shapes](x, y)

    return on_batch


def _with_jax(model: keras.Model, variables: Sequence[keras.Variable]) -> Any:
    import jax

    watched = {id(variable) for variable in variables}
    # Passed in, too, or the compiled function would hold a copy of each.
    others = [variable for variable in model.variables if id(variable) not in watched]

    @jax.jit
    def step(values: list[Any], other_values: list[Any], x: Any, y: Any) -> list[Any]:
        def loss_of(values: list[Any]) -> Any:
            pairs = zip([*variables, *others], [*values, *other_values], strict=True)
            with keras.StatelessScope(pairs):
                return compiled_loss(model, y, model(x, training=False))

        return jax.grad(loss_of)(values)

    def values_of(variables: Sequence[keras.Variable]) -> list[Any]:
        return [variable.value for variable in variables]

    def on_batch(x: Any, y: Any) -> list[Any]:
        x, y = keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))
        return step(values_of(variables), values_of(others), x, y)

    return on_batch


def _with_torch(model: keras.Model, variables: Sequence[keras.Variable]) -> Any:
    import torch

    def step(x: Any, y: Any) -> list[Any]:
        loss = compiled_loss(model, y, model(x, training=False))
        watched = [variable.value for variable in variables]
        return list(torch.autograd.grad(loss, watched, materialize_grads=True))

    return step
