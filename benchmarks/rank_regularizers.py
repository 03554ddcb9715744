"""Training steps with rank regularizers, as multiples of the step without one.

The model is one `TTDense` of 1024 inputs and units, with two cores. The methods "by eigenvalues"
compute the same penalties from an eigenvalue decomposition in every step. Writes
benchmarks/results/rank_regularizers_BACKEND.json for the backend of Keras. Run
`python -m benchmarks.rank_regularizers`, and again with KERAS_BACKEND=jax.
"""

import gc
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from benchmarks import environment
from benchmarks.grid import Grid
from benchmarks.tables import Results
from benchmarks.timing import interleaved
from dart_keras.layers import TTDense
from dart_keras.regularizers import GroupLasso, LogDet, NuclearNorm, RankRegularizer
from dart_keras.tensor_train import balanced_modes

DIMENSION = 1024
BATCH = 128
RANKS = (16, 64, 256)
XLA = ("without", "with")
STRENGTH = 1e-3


class ByEigenvalues(RankRegularizer):
    """Sum of a function of the eigenvalues of the Gram matrix, without its factors.

    Args:
        function: Of an eigenvalue, relative to their mean.
        derivative: Of the function.
    """

    def __init__(self, function: Callable[[Any], Any], derivative: Callable[[Any], Any]) -> None:
        super().__init__(STRENGTH)
        self._function, self._derivative = function, derivative

    def penalty(self, unfolding: Any) -> Any:
        """Return the penalty of one unfolding."""
        gram = ops.matmul(ops.transpose(unfolding), unfolding)
        gram = gram / (ops.trace(gram) / gram.shape[0])
        values, vectors = ops.eigh(ops.stop_gradient(gram))
        values = ops.maximum(values, 0)
        slope = ops.matmul(vectors * self._derivative(values), ops.transpose(vectors))
        linear = ops.sum(ops.stop_gradient(slope) * gram)
        return ops.stop_gradient(ops.sum(self._function(values)) - linear) + linear


def regularizers() -> dict[str, RankRegularizer | None]:
    """Return the competitors, by name."""
    return {
        "none": None,
        "GroupLasso": GroupLasso(STRENGTH),
        "NuclearNorm": NuclearNorm(STRENGTH),
        "nuclear by eigenvalues": ByEigenvalues(
            lambda values: ops.sqrt(values + 1e-6), lambda values: 0.5 / ops.sqrt(values + 1e-6)
        ),
        "LogDet": LogDet(STRENGTH),
        "log-det by eigenvalues": ByEigenvalues(
            lambda values: ops.log(1 + values / LogDet.SHARPNESS),
            lambda values: 1 / (values + LogDet.SHARPNESS),
        ),
    }


def measure(rank: int, xla: bool, dimension: int = DIMENSION, **options: Any) -> dict[str, Any]:
    """Return the time of a step of Adam without regularizer, and those with one relative to it."""
    modes = balanced_modes(dimension, 2)
    rng = np.random.default_rng(0)
    x, y = (
        ops.convert_to_tensor(rng.normal(size=(BATCH, dimension)).astype("float32"))
        for _ in range(2)
    )
    calls = {}
    for name, regularizer in regularizers().items():
        layer = TTDense(dimension, rank, modes, modes, rank_regularizer=regularizer)
        model = keras.Sequential([keras.Input((dimension,)), layer])
        model.compile("adam", "mse", jit_compile=xla)
        calls[name] = lambda model=model: model.train_on_batch(x, y)
    timings = interleaved(calls, **options)
    plain = timings["none"].microseconds
    ratios = {name: round(timing.microseconds / plain, 3) for name, timing in timings.items()}
    return {"microseconds without": plain, **ratios}


def main() -> None:
    backend = keras.backend.backend()
    grid = Grid(f"rank_regularizers_{backend}", __doc__, {"rank": RANKS, "xla": XLA})
    environment.prepare()
    results = Results(
        f"Steps with rank regularizers over the step without, on {backend}",
        ["rank", "xla", *list(regularizers())[1:]],
        grid.path,
    )
    for rank, xla in grid:
        # JAX compiles every step with XLA.
        if backend == "tensorflow" or xla == "with":
            cell = measure(rank, xla == "with", seconds=1.5)
            results.add({"rank": rank, "xla": xla, **cell})
            gc.collect()
    results.finish(summary(results.cells))


def summary(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Return which regularizers cost more than 15 % of a step, by rank and compiler."""
    return {
        "more than 15 %": [
            {"rank": cell["rank"], "xla": cell["xla"], name: cell[name]}
            for cell in cells
            for name in ("GroupLasso", "NuclearNorm", "LogDet")
            if cell[name] > 1.15
        ]
    }


if __name__ == "__main__":
    main()
