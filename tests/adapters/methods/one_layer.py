"""Models of one adapted layer, for the tests of single methods."""

import keras
import numpy as np

from dart_keras import adapters


def adapted_dense(method, rows=12, columns=8, dtype="float32"):
    """Return the adapted layer of a model that is one `Dense`, and its adapter."""
    keras.utils.set_random_seed(2)
    layer = keras.layers.Dense(columns, name="hidden", dtype=dtype)
    base = keras.Sequential([keras.Input((rows,)), layer])
    return _adapted(base, method)


def adapted_table(method, rows=30, columns=8):
    """Return the adapted layer of a model that is one `Embedding`, and its adapter."""
    keras.utils.set_random_seed(2)
    ids = keras.Input((5,), dtype="int32")
    base = keras.Model(ids, keras.layers.Embedding(rows, columns, name="hidden")(ids))
    return _adapted(base, method)


def _adapted(base, method):
    layer = adapters.adapt(base, method, ["hidden"]).get_layer("hidden")
    return layer, layer.adapters["default"]


def with_random_weights(adapter):
    """Give the weights of an adapter that are trained random values, and return them by name."""
    rng = np.random.default_rng(4)
    values = {}
    for weight in adapter.trainable_variables:
        values[weight.name] = rng.normal(size=weight.shape).astype("float32")
        weight.assign(values[weight.name])
    return values


def change_of(layer):
    """Return what adapters add to the kernel of a layer, of shape (N, M)."""
    rows = layer.adapters["default"].kernel.shape[0]
    is_table = layer.adapters["default"].kernel.looks_up
    inputs = np.arange(rows) if is_table else np.eye(rows, dtype="float32")
    outputs = keras.ops.subtract(layer(inputs), layer.base(inputs))
    return keras.ops.convert_to_numpy(outputs)


def count_trained(layer):
    """Return the number of trained parameters of a layer."""
    return sum(int(np.prod(weight.shape)) for weight in layer.trainable_variables)
