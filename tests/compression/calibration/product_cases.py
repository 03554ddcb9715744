"""Models with multiply-adds that are known; as a program, what is counted for some, as JSON."""

import json
import sys

import keras
import numpy as np
from keras import layers, ops

from dart_keras.compression.calibration.product_counts import count_products
from dart_keras.compression.compressible import Candidate
from dart_keras.layers import TTDense, TTEmbedding
from dart_keras.model_surgery.clone import copy_model
from dart_keras.model_surgery.replace import layers_with_paths


class Mixing(layers.Layer):
    """A matrix of weights, multiplied by in a loop over the first axis of a row."""

    def build(self, shape):
        self.w = self.add_weight((shape[-1], 4))

    def call(self, x):
        return ops.map(lambda row: ops.matmul(row, self.w), x)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 4)


class Scores(keras.Model):
    """Products outside of layers, in a subclassed model."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.key = layers.Dense(3)

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.key(x), (0, 2, 1))[:, :, :4])


def of(layer, *shape):
    x = keras.Input(shape)
    return keras.Model(x, layer(x))


def with_itself(layer, *shape):
    x = keras.Input(shape)
    return keras.Model(x, layer(x, x))


def listed(layer, *shape):
    x = keras.Input(shape)
    return keras.Model(x, layer([x, x]))


def tied():
    table = layers.ReversibleEmbedding(20, 6)
    x = keras.Input((5,), dtype="int32")
    return keras.Model(x, table(table(x), reverse=True))


def looked_up():
    table = TTEmbedding(16, 16, ranks=2)
    x = keras.Input((5,), dtype="int32")
    return keras.Model(x, table(table(x), reverse=True))


def of_operations():
    x = keras.Input((7, 8))
    return keras.Model(x, ops.einsum("...bc,...dc->...bd", x, x) @ x)


def nested():
    inner = of(layers.Conv1D(4, 3, strides=2, padding="same"), 10, 6)
    return of(keras.Sequential([inner, layers.GRU(3, return_sequences=True)]), 10, 6)


CELLS = [layers.LSTMCell(3), layers.SimpleRNNCell(5)]
CASES = {
    "dense": (lambda: of(layers.Dense(3), 5, 4), 5 * 4 * 3),
    "einsum dense": (lambda: of(layers.EinsumDense("abc,cde->abde", (5, 2, 3)), 5, 4), 5 * 4 * 6),
    "grouped": (lambda: of(layers.Conv2D(6, 3, groups=3), 8, 8, 9), 36 * 9 * 3 * 6),
    "3D": (lambda: of(layers.Conv3D(2, 2), 4, 4, 4, 3), 27 * 8 * 3 * 2),
    "depthwise": (
        lambda: of(layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2), 8, 8, 5),
        16 * 9 * 10,
    ),
    "depthwise 1D": (lambda: of(layers.DepthwiseConv1D(3), 8, 5), 6 * 3 * 5),
    "separable": (lambda: of(layers.SeparableConv2D(7, 3), 8, 8, 5), 36 * (9 * 5 + 5 * 7)),
    "transposed": (lambda: of(layers.Conv2DTranspose(7, 3, strides=2), 8, 8, 5), 64 * 9 * 35),
    "lstm": (lambda: of(layers.LSTM(6, return_sequences=True), 9, 4), 9 * 4 * (4 + 6) * 6),
    "both ways": (lambda: of(layers.Bidirectional(layers.GRU(6)), 9, 4), 2 * 9 * 3 * (4 + 6) * 6),
    "cells": (lambda: of(layers.RNN(CELLS), 9, 4), 9 * (4 * (4 + 3) * 3 + (3 + 5) * 5)),
    "convolutional lstm": (
        lambda: of(layers.ConvLSTM2D(3, 2, padding="same"), 5, 4, 4, 2),
        5 * 16 * 4 * 4 * (2 + 3) * 3,
    ),
    "distributed": (lambda: of(layers.TimeDistributed(layers.Dense(3)), 5, 4), 5 * 4 * 3),
    "heads": (
        lambda: with_itself(layers.MultiHeadAttention(2, 4), 7, 8),
        4 * 7 * 8 * 8 + 2 * 7 * 7 * 8,
    ),
    "grouped heads": (
        lambda: with_itself(layers.GroupQueryAttention(4, 4, 2), 7, 8),
        2 * 7 * 8 * 16 + 2 * 7 * 8 * 8 + 2 * 7 * 7 * 16,
    ),
    "attention": (lambda: listed(layers.Attention(), 7, 8), 2 * 7 * 7 * 8),
    "additive": (lambda: listed(layers.AdditiveAttention(), 7, 8), 2 * 7 * 7 * 8),
    "operations": (of_operations, 2 * 7 * 7 * 8),
    "own": (lambda: of(Mixing(), 5, 4, 4), 5 * 4 * 4 * 4),
    "nested": (nested, 5 * 3 * 6 * 4 + 5 * 3 * (4 + 3) * 3),
    "subclassed": (Scores, 4 * 3 * 3 + 4 * 3 * 4),
    "tied": (tied, 5 * 20 * 6),
    "TT dense": (lambda: of(TTDense(16, ranks=2), 5, 16), 5 * 2 * (4 * 4 * 8)),
    # For each id a slice (4, 2) times a slice (2, 4), and back as a TT dense layer.
    "TT table": (looked_up, 5 * 4 * 2 * 4 + 5 * 2 * (4 * 4 * 8)),
    "normalized": (lambda: of(layers.BatchNormalization(), 4), 0),
}


def counts_of(model, rows):
    copy, copies = copy_model(model)
    found = [Candidate(path, layer, None) for path, layer in layers_with_paths(model)]
    return count_products(copy, copies, found, [rows])


def counted(name):
    """The multiply-adds of a case, and what cannot be counted of it."""
    model = CASES[name][0]()
    if name == "subclassed":
        rows = np.zeros((2, 4, 3), "float32")
        model(rows)
    else:
        rows = np.zeros((2, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
    counts = counts_of(model, rows)
    return counts.total, counts.uncounted


if __name__ == "__main__":
    print(json.dumps({name: counted(name)[0] for name in sys.argv[1:]}))
