"""Files that are damaged or ask for too much, for the tests."""

import random

import keras

from dart_keras.deployment.post_training.schemes import SCHEMES
from dart_keras.deployment.post_training.tflite_converter import lower
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature


def corrupted(content: bytes, count: int, seed: int) -> list[bytes]:
    """Copies of a file: one in five is cut off, of the others bits are flipped, mostly one."""
    choose = random.Random(seed)
    copies = []
    for number in range(count):
        copy = bytearray(content)
        if number % 5 == 0:
            del copy[choose.randrange(len(copy)) :]
        else:
            for place in choose.sample(range(8 * len(copy)), choose.choice((1, 1, 1, 3, 30))):
                copy[place // 8] ^= 1 << place % 8
        copies.append(bytes(copy))
    return copies


def of_two_gibibytes() -> bytes:
    """A file that takes one number, and two gibibytes for a tensor on the way to its output."""
    inputs = keras.Input((1,))
    large = keras.ops.tanh(keras.ops.broadcast_to(inputs, (1, 2**29)))
    model = keras.Model(inputs, keras.ops.sum(large, axis=1))
    return lower(export(model, model_signature(model)), SCHEMES["float32"], ())
