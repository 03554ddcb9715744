"""Cores of a dense matrix by TT-SVD (Oseledets 2011, algorithm 1)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dart_keras.tensor_train.modes import check_modes, check_same_length

Cores = tuple[np.ndarray, ...]

_SIDES = ("input_modes", "output_modes")


def checked_matrix(
    matrix: Any, input_modes: Sequence[int], output_modes: Sequence[int]
) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """Return a dense matrix in float64 and its modes, if they match.

    Raises:
        ValueError: If it is no finite real matrix, or the modes are others.
    """
    if np.iscomplexobj(matrix):
        raise ValueError(
            "Expected a real matrix. Received: a complex one; decompose its real and its imaginary "
            "part"
        )
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"Expected a matrix. Received: an array of shape {matrix.shape}")
    if not np.all(np.isfinite(matrix)):
        raise ValueError("Expected a finite matrix. Received: NaN or infinite values")
    inputs = check_modes("input_modes", input_modes)
    outputs = check_modes("output_modes", output_modes)
    for name, modes, dim in zip(_SIDES, (inputs, outputs), matrix.shape, strict=True):
        if math.prod(modes) != dim:
            raise ValueError(
                f"Expected `{name}` whose product is the dimension {dim}. "
                f"Received: {name}={modes}, whose product is {math.prod(modes)}"
            )
    check_same_length(inputs, outputs)
    return matrix, inputs, outputs


def t3f_cores(
    matrix: np.ndarray, inputs: Sequence[int], outputs: Sequence[int], ranks: Sequence[int]
) -> Cores:
    """Return cores of at most some ranks, by t3f, which runs on TensorFlow.

    Args:
        matrix: Array of shape (N, M).
        inputs: At least two modes whose product is N.
        outputs: As many modes whose product is M.
        ranks: All d + 1 ranks.
    """
    import t3f

    factorized = t3f.to_tt_matrix(matrix, [list(inputs), list(outputs)], list(ranks))
    return tuple(np.asarray(core) for core in factorized.tt_cores)


def exact_cores(matrix: np.ndarray, inputs: Sequence[int], outputs: Sequence[int]) -> Cores:
    """Return cores with the largest ranks that the modes allow, by QR.

    Args:
        matrix: Array of shape (N, M).
        inputs: Modes whose product is N.
        outputs: As many modes whose product is M.
    """
    pairs = [axis for k in range(len(inputs)) for axis in (k, len(inputs) + k)]
    rest = matrix.reshape(*inputs, *outputs).transpose(pairs).reshape(1, -1)
    cores = []
    for n, m in zip(inputs[:-1], outputs[:-1], strict=True):
        left = len(rest)
        q, rest = np.linalg.qr(rest.reshape(left * n * m, -1))
        cores.append(q.reshape(left, n, m, -1))
    return (*cores, rest.reshape(-1, inputs[-1], outputs[-1], 1))
