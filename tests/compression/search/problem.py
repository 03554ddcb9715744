"""A model to compress, and what it takes."""

import functools

import keras
import numpy as np
from keras import layers

from dart_keras.budgets import MultiplyAdds, Parameters
from dart_keras.compression.calibration.batches import CalibrationBatches
from dart_keras.compression.calibration.layer_statistics import calibration_statistics
from dart_keras.compression.compressible import find_compressible_layers
from dart_keras.compression.search.model_costs import multiply_add_costs, parameter_costs
from dart_keras.compression.search.student import StudentBuilder

COSTS = {Parameters: parameter_costs, MultiplyAdds: multiply_add_costs}


def builder_of(model, data=None, chosen=None):
    """A builder of students of a model, with what its layers do with data."""
    compressibles, found = find_compressible_layers(model, chosen)
    if data is None:
        return StudentBuilder(model, compressibles)
    return StudentBuilder(
        model,
        compressibles,
        calibration_statistics(model, compressibles, CalibrationBatches(model, data).some, found),
    )


@functools.cache
def builder(with_data=True):
    """Of a model with a table, and with a layer that sees several rows for one of the inputs."""
    keras.utils.set_random_seed(0)
    ids = keras.Input((4,), dtype="int32")
    x = layers.Embedding(50, 16, name="table")(ids)
    x = layers.Activation("tanh")(layers.Dense(20, name="positions")(x))
    x = layers.LayerNormalization(name="norm")(layers.Flatten()(x))
    model = keras.Model(ids, layers.Dense(12, name="last")(x))
    for layer in model.layers:
        # Singular values that fall, as in trained models.
        if layer.weights and layer.name != "norm":
            u, s, v = np.linalg.svd(np.asarray(layer.weights[0]), full_matrices=False)
            layer.weights[0].assign((u * s * np.geomspace(1, 0.05, len(s))) @ v)
    rows = np.random.default_rng(0).integers(0, 50, (160, 4))
    return builder_of(model, rows if with_data else None)


def counted(model, kind):
    """What a small model takes, by the arrays that its layers hold."""
    if kind is Parameters:
        return sum(int(np.prod(weight.shape)) for weight in model.weights)
    table = model.get_layer("table")
    total = 0 if isinstance(table, layers.Embedding) else 4 * table.ranks[1] * 16
    for name, rows in (("positions", 4), ("last", 1)):
        layer = model.get_layer(name)
        if isinstance(layer, layers.Dense):
            total += rows * int(np.prod(layer.kernel.shape))
        elif layer.input_modes[1] == layer.output_modes[0] == 1:
            total += rows * sum(int(np.prod(core.shape)) for core in layer.cores)
        else:
            total += rows * least_products(layer)
    return total


def least_products(layer):
    (n1, n2), (m1, m2) = layer.input_modes, layer.output_modes
    rank = layer.ranks[1]
    either_way = rank * n2 * m1 * (n1 + m2), rank * n1 * m2 * (n2 + m1)
    return min(*either_way, n1 * n2 * m1 * m2)


def costs(kind, with_data=True):
    return COSTS[kind](builder(with_data))


def limits(kind, share, with_data=True):
    low = costs(kind, with_data).smallest
    return round(low + share * (1.1 * counted(builder().model, kind) - low))
