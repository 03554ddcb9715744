"""Models to compress and to recover, and how far they are from each other."""

import keras
import numpy as np
from keras import layers

from dart_keras.budgets import Parameters
from dart_keras.compression import compress
from dart_keras.compression.calibration.inference import infer
from dart_keras.compression.calibration.output_loss import end_error

ROWS = np.random.default_rng(0).normal(size=(96, 16)).astype("float32")


def regression():
    stack = [layers.Dense(24, "relu"), layers.Dropout(0.5), layers.BatchNormalization()]
    return keras.Sequential([keras.Input((16,)), *stack, layers.Dense(24, "tanh"), layers.Dense(3)])


def classifier():
    stack = [layers.Dense(24, "relu"), layers.Dropout(0.5), layers.Dense(6, "softmax")]
    return keras.Sequential([keras.Input((16,)), *stack])


def compressed(model, share=0.6):
    return compress(model, Parameters(int(share * model.count_params())))[0]


def distance(model, small, data):
    return end_error([infer(model, data)], [infer(small, data)], [None])


def assert_unchanged(model, weights):
    for ours, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, before)
