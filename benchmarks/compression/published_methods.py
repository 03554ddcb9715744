"""A model's matrices at lower ranks, by published methods."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.baselines.low_rank import (
    METHODS,
    Inputs,
    parameters,
    threshold_ranks,
    uniform_ranks,
)

# The rule of the matrices, and that of the ranks.
BASELINES = {
    "SVD": ("SVD", "uniform"),
    "ASVD": ("ASVD", "uniform"),
    "SVD-LLM": ("SVD-LLM", "uniform"),
    "WeLore": ("SVD", "threshold"),
}


def approximate(
    model: Any, method: str, budget: int, calibration: Any, layers: str | None = None
) -> int:
    """Give a model's matrices low ranks by a published method.

    Args:
        model: The model, which is changed.
        method: A key of `BASELINES`.
        budget: How many parameters it would have with two factors for each matrix.
        calibration: Inputs of the model.
        layers: As for `compress`.

    Returns:
        How many it would have.
    """
    from dart_keras.compression.compressible import find_compressible_layers

    rule, allocation = BASELINES[method]
    found = [x for x in find_compressible_layers(model, layers)[0] if min(x.kernel.shape) > 2]
    shapes = [each.kernel.shape for each in found]
    rest = model.count_params() - sum(n * m for n, m in shapes)
    kernels = [each.kernel for each in found]
    ranks = (
        threshold_ranks(kernels, budget - rest)
        if allocation == "threshold"
        else uniform_ranks(shapes, budget - rest)
    )
    inputs = [None] * len(found) if rule == "SVD" else _inputs(model, found, calibration)
    for each, rank, seen in zip(found, ranks, inputs, strict=True):
        if rank is not None:
            layer: Any = each.layer
            variable = layer.kernel if hasattr(layer, "kernel") else layer.embeddings
            matrix = METHODS[rule](each.kernel, rank, seen)
            variable.assign(matrix.reshape(variable.shape))
    return rest + parameters(ranks, shapes)


def _inputs(model: Any, found: Sequence[Any], calibration: Any) -> list[Inputs | None]:
    from dart_keras.compression.calibration.batches import CalibrationBatches
    from dart_keras.compression.calibration.hooks import forward_hooks
    from dart_keras.compression.calibration.inference import infer
    from dart_keras.compression.calibration.sequence_padding import VisibleRows

    sums: dict[int, list[Any]] = {}
    rows_now: list[VisibleRows] = []

    def take(k: int, inputs: Any, outputs: Any) -> None:
        n = found[k].kernel.shape[0]
        array = np.asarray(inputs, np.float64)
        # A table has no inputs to scale.
        if array.ndim < 3:
            return
        x = rows_now[-1].rows_of(inputs, array.reshape(-1, n))
        seen = sums.setdefault(k, [0.0, 0.0, 0])
        seen[:] = seen[0] + x.T @ x, seen[1] + np.abs(x).sum(0), seen[2] + len(x)

    same = {id(each.layer): each.layer for each in found}
    batches = CalibrationBatches(model, calibration).some
    with forward_hooks(same, found, take):
        for batch in batches:
            rows_now.append(VisibleRows(model, batch))
            infer(model, batch)
    return [
        Inputs(sums[k][0] / sums[k][2], sums[k][1] / sums[k][2]) if k in sums else None
        for k in range(len(found))
    ]
