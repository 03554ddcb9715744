"""A forward pass and a training step of anything that TensorFlow computes, compiled.

A training step is that of a layer in the middle of a network, for everybody alike: forward, the
gradients of the weights and of the input from a given gradient of the output, plain SGD.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

# So small that the weights stay what they are however often a step is timed.
LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Steps:
    """What a competitor does in a cell, ready to be called.

    Args:
        forward: Returns the output.
        training: Makes one training step.
    """

    forward: Callable[[], Any]
    training: Callable[[], Any]


def compiled_steps(
    function: Callable[[Any], Any],
    variables: Sequence[tf.Variable],
    x: Any,
    flow: Any,
    training_function: Callable[[Any], Any] | None = None,
) -> Steps:
    """The steps of a function of `x` and of variables.

    Args:
        function: From the input to the output.
        variables: What it learns.
        x: The input. If it holds ids, there is no gradient of it.
        flow: The gradient of the output.
        training_function: What to train, where that is another function.
    """
    x, flow = tf.convert_to_tensor(x), tf.convert_to_tensor(flow)
    trained = training_function or function
    inputs = [x] if x.dtype.is_floating else []

    @tf.function(autograph=False)
    def forward(x: Any) -> Any:
        return function(x)

    @tf.function(autograph=False)
    def training(x: Any, flow: Any) -> Any:
        wanted = [x] if inputs else []
        with tf.GradientTape() as tape:
            for tensor in wanted:
                tape.watch(tensor)
            output = trained(x)
        gradients = tape.gradient(output, [*wanted, *variables], flow)
        for variable, gradient in zip(variables, gradients[len(wanted) :], strict=True):
            _descend(variable, gradient)
        # Returned, so that the compiler does not leave out what nobody seems to need.
        return output, gradients[: len(wanted)]

    return Steps(lambda: forward(x), lambda: training(x, flow))


def keras_steps(layer: keras.Layer, x: Any, flow: Any) -> Steps:
    """The steps of a built Keras layer or model."""
    return compiled_steps(
        lambda x: layer(x, training=False),
        [variable.value for variable in layer.trainable_variables],
        x,
        flow,
        training_function=lambda x: layer(x, training=True),
    )


def _descend(variable: tf.Variable, gradient: Any) -> None:
    if isinstance(gradient, tf.IndexedSlices):
        # Only the rows that were looked up, as Keras's optimizers do.
        change = tf.IndexedSlices(LEARNING_RATE * gradient.values, gradient.indices)
        variable.scatter_sub(change)
    else:
        variable.assign_sub(LEARNING_RATE * gradient)
