"""Training on several devices or machines."""

import os
from typing import Any

import keras

import dart_keras as dk

STRATEGIES = ("mirrored", "multiworker")


def make_strategy(name: str | None) -> Any:
    """Return the `tf.distribute` strategy of a name. Call this before any other use of TensorFlow.

    Args:
        name: `"mirrored"` for all devices of this machine, `"multiworker"` for the machines in the
            environment variable `TF_CONFIG`; `None` for no strategy.

    Raises:
        ValueError: If Keras does not run on TensorFlow, or `TF_CONFIG` is missing.
    """
    if name is None:
        return None
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Expected the TensorFlow backend for --strategy {name}. "
            f"Received: {keras.backend.backend()}"
        )
    if name == "multiworker":
        if "TF_CONFIG" not in os.environ:
            raise ValueError(
                "Expected the environment variable TF_CONFIG with the workers' addresses for "
                "--strategy multiworker. Received: none"
            )
        return dk.distribution.multi_worker_strategy()
    import tensorflow as tf

    return tf.distribute.MirroredStrategy()
