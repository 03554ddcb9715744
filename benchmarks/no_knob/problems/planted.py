"""Planted ranks: noisy input-output pairs of a random TT matrix, in three shapes.

The target is the size of the teacher, whose ranks differ from bond to bond.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import keras
import numpy as np

from benchmarks.no_knob.metrics import R2
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows
from dart_keras.tensor_train import TTMatrix
from dart_keras.tensor_train.ranks import count_parameters

_NOISE = 0.1
_ROWS = {"training": 2048, "validation": 1024, "test": 4096}
Modes = Sequence[int]


def _load(
    input_modes: Modes, output_modes: Modes, ranks: Sequence[int], folder: Path | None, seed: int
) -> Data:
    """Return pairs of a teacher of its own for each seed, of variance 1 without the noise."""
    rng = np.random.default_rng(seed)
    bonds = zip(ranks, input_modes, output_modes, ranks[1:], strict=False)
    teacher = TTMatrix(tuple(rng.normal(size=shape) for shape in bonds))
    columns = teacher.shape[1]
    matrix = teacher.to_dense() / teacher.norm() * np.sqrt(columns)

    def rows(count: int) -> Rows:
        x = rng.normal(size=(count, teacher.shape[0]))
        y = x @ matrix + _NOISE * rng.normal(size=(count, columns))
        return Rows(x.astype("float32"), y.astype("float32"))

    return Data("planted ranks", **{part: rows(count) for part, count in _ROWS.items()})


def _build(input_modes: Modes, output_modes: Modes, layers: Layers) -> keras.Model:
    student = layers.make_dense(
        int(np.prod(output_modes)), "student", input_modes=input_modes, output_modes=output_modes
    )
    return keras.Sequential([keras.Input((int(np.prod(input_modes)),)), student])


def _problem(
    name: str, input_modes: Modes, output_modes: Modes, ranks: Sequence[int], initial_rank: int
) -> Problem:
    return Problem(
        name=name,
        title=f"planted ranks {'-'.join(map(str, ranks))}",
        load=partial(_load, input_modes, output_modes, ranks),
        build=partial(_build, input_modes, output_modes),
        loss=keras.losses.MeanSquaredError,
        metric=R2,
        epochs=12,
        batch=64,
        dense_rate=1e-2,
        tt_rate=1e-2,
        initial_rank=initial_rank,
        target=count_parameters(input_modes, output_modes, ranks),
        strength=0.02,
    )


PROBLEMS = (
    _problem("planted_three_cores", (4, 4, 4), (4, 4, 4), (1, 3, 5, 1), 12),
    _problem("planted_uneven_modes", (4, 4, 4), (8, 8, 4), (1, 2, 7, 1), 12),
    _problem("planted_four_cores", (2, 4, 4, 2), (4, 4, 4, 2), (1, 2, 6, 3, 1), 12),
)
