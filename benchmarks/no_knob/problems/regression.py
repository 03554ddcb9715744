"""Friedman's first regression problem, as `make_friedman1` of scikit-learn makes it.

Friedman (1991), "Multivariate Adaptive Regression Splines", section 4.3, with the formula of
scikit-learn, which is not needed: five features count, and the others do not.
"""

from pathlib import Path

import keras
import numpy as np

from benchmarks.no_knob.metrics import R2
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows

_FEATURES = 64
_UNITS = 256
_NOISE = 1.0
_ROWS = {"training": 4096, "validation": 2048, "test": 8192}


def _load(folder: Path | None, seed: int) -> Data:
    # The same rows for all seeds, which are those of the weights.
    rng = np.random.default_rng(0)

    def rows(count: int) -> Rows:
        x = rng.uniform(size=(count, _FEATURES))
        y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
        y += 10 * x[:, 3] + 5 * x[:, 4] + _NOISE * rng.normal(size=count)
        # Of mean 0 and variance 1, nearly.
        return Rows(((x - 0.5) * 12**0.5).astype("float32"), ((y - 14.4) / 5).astype("float32"))

    return Data("synthetic rows", **{part: rows(count) for part, count in _ROWS.items()})


def _build(layers: Layers) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((_FEATURES,)),
            layers.make_dense(_UNITS, "hidden_1", "relu"),
            layers.make_dense(_UNITS, "hidden_2", "relu"),
            keras.layers.Dense(1, name="output"),
        ]
    )


FRIEDMAN = Problem(
    name="regression",
    title="Friedman 1, 64-256-256-1",
    load=_load,
    build=_build,
    loss=keras.losses.MeanSquaredError,
    metric=R2,
    epochs=12,
    batch=64,
    dense_rate=3e-3,
    tt_rate=1e-2,
    initial_rank=16,
    target=3000,
    strength=0.3,
)
