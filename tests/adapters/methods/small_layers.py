"""Layers with kernels of 12 x 10 whose adapters have random weights, as a method sees them."""

import keras
import numpy as np

from dart_keras import adapters
from dart_keras.adapters.adapted_layer import adapted_layers_in

ROWS, COLUMNS = 12, 10
RNG = np.random.default_rng(0)

LAYERS = {
    "dense": (lambda: keras.layers.Dense(COLUMNS, name="hidden"), (ROWS,)),
    "heads": (
        lambda: keras.layers.EinsumDense(
            "abc,cde->abde", (None, 2, 5), bias_axes="de", name="hidden"
        ),
        (3, ROWS),
    ),
    "output": (
        lambda: keras.layers.EinsumDense(
            "abcd,cde->abe", (None, COLUMNS), bias_axes="e", name="hidden"
        ),
        (3, 4, 3),
    ),
}


def adapted(kind, method, **kwargs):
    """Return a model of one layer, with random weights, and the adapted model."""
    make, shape = LAYERS[kind]
    layer = make()
    base = keras.Sequential([keras.Input(shape), layer])
    layer.set_weights([RNG.normal(size=weight.shape) for weight in layer.get_weights()])
    return base, adapters.adapt(base, method, ["hidden"], **kwargs)


def adapter_of(model, name="default"):
    (layer,) = adapted_layers_in(model)
    return layer.adapters[name]


def randomize(model):
    for weight in model.trainable_variables:
        weight.assign(RNG.normal(size=weight.shape, scale=0.5))


def inputs_of(model, count=4):
    return RNG.normal(size=(count, *model.input_shape[1:])).astype("float32")


def outputs_of(model, x):
    return keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x)))


def rows_of(array, size):
    return np.reshape(array, (-1, size)).astype("float64")


def kernel_and_bias(base):
    kernel, bias = base.layers[-1].get_weights()
    return kernel.reshape(ROWS, COLUMNS).astype("float64"), bias.reshape(COLUMNS)


def count(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
