"""Corrupted files and files that need too much memory, for the tests."""

import random

import keras

from dart_keras.deployment.post_training.tflite_converter import convert_exported
from dart_keras.deployment.schemes import SCHEMES
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature


def corrupted(content: bytes, count: int, seed: int) -> list[bytes]:
    """Return copies of a file: one in five is truncated, the others have flipped bits."""
    choose = random.Random(seed)
    copies = []
    for number in range(count):
        copy = bytearray(content)
        if number % 5 == 0:
            del copy[choose.randrange(len(copy)) :]
        else:
            for bit in choose.sample(range(8 * len(copy)), choose.choice((1, 1, 1, 3, 30))):
                copy[bit // 8] ^= 1 << bit % 8
        copies.append(bytes(copy))
    return copies


def of_two_gibibytes() -> bytes:
    """Return a file with one input element that needs 2 GiB for an intermediate tensor."""
    inputs = keras.Input((1,))
    large = keras.ops.tanh(keras.ops.broadcast_to(inputs, (1, 2**29)))
    model = keras.Model(inputs, keras.ops.sum(large, axis=1))
    return convert_exported(export(model, model_signature(model)), SCHEMES["float32"], ())
