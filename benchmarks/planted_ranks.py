"""Recovery of known TT ranks: a student learns from a teacher whose ranks are known.

The teacher is a random TT matrix of ranks 1-3-5-1. The student starts with ranks 1-12-12-1 and sees
noisy input-output pairs. Prints a table and JSON: `python -m benchmarks.planted_ranks`.
"""

import json
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from dart_keras.tensor_train import TTMatrix

MODES = (4, 4, 4)
TEACHER_RANKS = (1, 3, 5, 1)
STUDENT_RANKS = (1, 12, 12, 1)
NOISE = 0.1
PAIRS = 4096
EPOCHS = 60
SEEDS = range(5)

REGULARIZERS = {
    "NuclearNorm": lambda: dk.regularizers.NuclearNorm(0.02),
    "LogDet": lambda: dk.regularizers.LogDet(0.01),
    "GroupLasso": lambda: dk.regularizers.GroupLasso(0.02),
}
METHODS = (*REGULARIZERS, "GumbelSoftmax")


class StopAfterTruncation(keras.callbacks.Callback):
    """Stops training after the epoch that follows the truncation."""

    def __init__(self, discretization: dk.callbacks.RankDiscretization) -> None:
        super().__init__()
        self.discretization = discretization

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.discretization.cuts:
            self.model.stop_training = True


def pairs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and noisy outputs of the teacher (output variance 1, noise `NOISE`^2)."""
    rng = np.random.default_rng(seed)
    teacher = TTMatrix(
        tuple(
            rng.normal(size=(left, mode, mode, right))
            for left, mode, right in zip(TEACHER_RANKS, MODES, TEACHER_RANKS[1:], strict=False)
        )
    )
    columns = teacher.shape[1]
    matrix = teacher.to_dense() / teacher.norm() * np.sqrt(columns)
    x = rng.normal(size=(PAIRS, teacher.shape[0]))
    y = x @ matrix + NOISE * rng.normal(size=(PAIRS, columns))
    return x.astype("float32"), y.astype("float32")


def find_ranks(method: str, seed: int) -> dict[str, Any]:
    """Return the ranks that the student finds, and the epoch of the truncation."""
    x, y = pairs(seed)
    keras.utils.set_random_seed(seed)
    if method == "GumbelSoftmax":
        regularizer, selection = None, dk.selection.GumbelSoftmax(0.4, decay=0.9, seed=seed)
    else:
        regularizer, selection = REGULARIZERS[method](), dk.selection.Threshold(0.05)
    student = dk.layers.TTDense(
        y.shape[1], STUDENT_RANKS, MODES, MODES, use_bias=False, rank_regularizer=regularizer
    )
    model = keras.Sequential([keras.Input((x.shape[1],)), student])
    model.compile(keras.optimizers.Adam(1e-2), "mse")
    discretization = dk.callbacks.RankDiscretization(selection, when="converged")
    callbacks = [discretization, StopAfterTruncation(discretization)]
    model.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0, callbacks=callbacks)
    return {
        "method": method,
        "seed": seed,
        "ranks": student.ranks,
        "epoch": discretization.cuts[0]["epoch"] if discretization.cuts else None,
        "found": student.ranks == TEACHER_RANKS and bool(discretization.cuts),
    }


def main() -> None:
    results = [find_ranks(method, seed) for method in METHODS for seed in SEEDS]
    for method in METHODS:
        own = [result for result in results if result["method"] == method]
        found = sum(result["found"] for result in own)
        print(f"{method:14} found {TEACHER_RANKS} for {found} of {len(own)} seeds")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
