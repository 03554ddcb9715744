"""Compiled forward passes and training steps of any TensorFlow function.

A training step is that of a layer in the middle of a network, the same for all implementations: the
forward pass, the gradients of weights and input from a given gradient of the output, plain SGD.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

# So small that the weights hardly change, however often a step is timed.
LEARNING_RATE = 1e-6


@dataclass(frozen=True)
class Steps:
    """The forward pass and training step of an implementation, ready to be called.

    Attributes:
        forward: Returns the output.
        training: Runs one training step.
    """

    forward: Callable[[], Any]
    training: Callable[[], Any]


def compiled_steps(
    function: Callable[[Any], Any],
    variables: Sequence[tf.Variable],
    x: Any,
    output_gradient: Any,
    training_function: Callable[[Any], Any] | None = None,
) -> Steps:
    """Compile the steps of a function of `x` and of variables.

    Args:
        function: From the input to the output.
        variables: The trainable variables.
        x: The input. Integer ids get no gradient.
        output_gradient: The gradient of the loss with respect to the output.
        training_function: The function to train, if another one.
    """
    x, output_gradient = tf.convert_to_tensor(x), tf.convert_to_tensor(output_gradient)
    trained = training_function or function
    inputs = [x] if x.dtype.is_floating else []

    @tf.function(autograph=False)
    def forward(x: Any) -> Any:
        return function(x)

    @tf.function(autograph=False)
    def training(x: Any, output_gradient: Any) -> Any:
        wanted = [x] if inputs else []
        with tf.GradientTape() as tape:
            for tensor in wanted:
                tape.watch(tensor)
            output = trained(x)
        gradients = tape.gradient(output, [*wanted, *variables], output_gradient)
        for variable, gradient in zip(variables, gradients[len(wanted) :], strict=True):
            _descend(variable, gradient)
        # Returned, so that the compiler does not remove unused gradients.
        return output, gradients[: len(wanted)]

    return Steps(lambda: forward(x), lambda: training(x, output_gradient))


def keras_steps(layer: keras.Layer, x: Any, output_gradient: Any) -> Steps:
    """Return the steps of a built Keras layer or model."""
    return compiled_steps(
        lambda x: layer(x, training=False),
        [variable.value for variable in layer.trainable_variables],
        x,
        output_gradient,
        training_function=lambda x: layer(x, training=True),
    )


def _descend(variable: tf.Variable, gradient: Any) -> None:
    if isinstance(gradient, tf.IndexedSlices):
        # Update only the rows that were looked up, as Keras's optimizers do.
        change = tf.IndexedSlices(LEARNING_RATE * gradient.values, gradient.indices)
        variable.scatter_sub(change)
    else:
        variable.assign_sub(LEARNING_RATE * gradient)
