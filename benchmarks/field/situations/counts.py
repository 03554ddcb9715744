"""Multiply-adds and budgets that were counted wrong."""

import keras

import dart_keras as dk
from benchmarks.field.models import classifier, rows
from benchmarks.field.situation import situation


def _refuses(model, limit):
    """Compress to a budget that the products which nobody can shrink exceed."""
    data = rows(4, *model.input_shape[1:])
    dk.compression.compress(model, dk.budgets.MultiplyAdds(limit), data)


@situation("limits the products of a Conv1D network", refused="at least MultiplyAdds")
def conv1d(folder):
    layers = [keras.Input((128, 16)), keras.layers.Conv1D(32, 9), keras.layers.Flatten()]
    _refuses(keras.Sequential([*layers, keras.layers.Dense(4)]), 20_000)


@situation("limits the products of a depthwise network", refused="at least MultiplyAdds")
def depthwise(folder):
    layers = [keras.Input((32, 32, 8)), keras.layers.DepthwiseConv2D(5), keras.layers.Flatten()]
    _refuses(keras.Sequential([*layers, keras.layers.Dense(2)]), 15_000)


@situation("limits the products of a transposed convolution", refused="at least MultiplyAdds")
def transposed(folder):
    layers = [keras.Input((8, 8, 4)), keras.layers.Conv2DTranspose(8, 3, strides=2)]
    _refuses(keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(4)]), 15_000)


@situation("limits the products of a recurrent network", refused="at least MultiplyAdds")
def recurrent(folder):
    layers = [keras.Input((50, 8)), keras.layers.LSTM(16), keras.layers.Dense(4)]
    _refuses(keras.Sequential(layers), 5_000)


class _Own(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


@situation("limits the products of a network with a layer of their own", refused="mine")
def layer_of_ones_own(folder):
    layers = [keras.Input((64,)), _Own(name="mine"), keras.layers.Dense(4)]
    _refuses(keras.Sequential(layers), 1_000)


@situation("asks for fewer parameters than what cannot shrink", refused="table|norm|cannot")
def parameters_that_stay(folder):
    model = keras.Sequential(
        [
            keras.Input((8, 64)),
            keras.layers.Conv1D(128, 3, name="cannot"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(4),
        ]
    )
    dk.compression.compress(model, dk.budgets.Parameters(1_000))


@situation("asks for a file of a hundred bytes", refused="bytes")
def hundred_bytes(folder):
    dk.compression.compress(classifier(), dk.budgets.FlashBytes(100), rows(64, 8))
