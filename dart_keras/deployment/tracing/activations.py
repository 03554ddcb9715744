"""Activations in forms that keep their accuracy as integers and do not overflow as floats.

TensorFlow's converter writes a softplus as log(1 + exp(x)), and Keras a SELU with an exp(x) that is
thrown away where x is positive. Such an exponential becomes infinite in float32, and in integers
its range leaves no steps for what counts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from dart_keras.deployment.tracing.converting import converting, other_function
from dart_keras.private_apis import flatten_layers

# Klambauer et al. 2017, "Self-normalizing neural networks", equation 2.
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


def softplus(x: Any) -> Any:
    """Return the softplus as max(x, 0) and a rest of at most log(2)."""
    return ops.subtract(ops.relu(x), ops.log(ops.sigmoid(ops.abs(x))))


def mish(x: Any) -> Any:
    """Return x times the hyperbolic tangent of its softplus."""
    return ops.multiply(x, ops.tanh(softplus(x)))


def selu(x: Any) -> Any:
    """Return the scaled ELU: an ELU with a second factor for negative values."""
    positive = ops.relu(x)
    # Not min(x, 0): the converter gives the range of that to x, too.
    negative = ops.elu(ops.subtract(x, positive))
    return ops.add(
        ops.multiply(_SELU_SCALE, positive), ops.multiply(_SELU_SCALE * _SELU_ALPHA, negative)
    )


_FORMS = {
    keras.activations.softplus: softplus,
    keras.activations.mish: mish,
    keras.activations.selu: selu,
}


@contextmanager
def in_bounded_form(model: keras.Model) -> Iterator[None]:
    """Let a model's layers compute their activations in these forms inside the context.

    Other threads call the model as ever meanwhile.
    """
    with converting():
        changed = [
            (layer, layer.activation)
            for layer in flatten_layers(model)
            if getattr(layer, "activation", None) in _FORMS
        ]
        try:
            for layer, activation in changed:
                layer.activation = other_function(activation, _FORMS[activation])
            yield
        finally:
            for layer, activation in changed:
                layer.activation = activation
