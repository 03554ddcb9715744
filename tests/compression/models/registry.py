"""Where the builders of models are collected, and what their batches are made of."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Builder = Callable[[], tuple[keras.Model, Any]]
MODELS: dict[str, Builder] = {}


def model(builder: Builder) -> Builder:
    """Add a builder, which returns a built model and a batch for it."""
    MODELS[builder.__name__] = builder
    return builder


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def ids(*shape: int) -> np.ndarray:
    # Zeros at the end, as masks want them.
    made = np.random.default_rng(0).integers(1, 20, shape)
    made[:, -2:] = 0
    return made
