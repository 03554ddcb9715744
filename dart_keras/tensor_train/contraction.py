"""Multiplying by a matrix that is held as a tensor train, in `keras.ops`.

Everything here is a plain product of two matrices, (rows, k) times (k, columns) with the core on
the right, because that is what TensorFlow Lite runs fast and quantizes well.
"""

import math
from collections.abc import Sequence
from typing import Any

from keras import ops

# Where the number of rows is not known beforehand, as in a model's batch dimension.
UNKNOWN_ROWS = 64


def chain_multiply_adds(
    input_modes: Sequence[int], output_modes: Sequence[int], ranks: Sequence[int], rows: int
) -> int:
    """How many multiply-adds `chain` takes for an input of `rows` rows.

    Example:
        >>> chain_multiply_adds((4, 4), (2, 2), (1, 3, 1), rows=1)
        144
    """
    total = 0
    for k in range(len(input_modes)):
        others = math.prod(output_modes[:k]) * math.prod(input_modes[k + 1 :])
        total += others * ranks[k] * input_modes[k] * output_modes[k] * ranks[k + 1]
    return rows * total


def rebuild_multiply_adds(
    input_modes: Sequence[int], output_modes: Sequence[int], ranks: Sequence[int], rows: int
) -> int:
    """How many multiply-adds it takes to make the dense matrix and multiply by it.

    Example:
        >>> rebuild_multiply_adds((4, 4), (2, 2), (1, 3, 1), rows=1)
        256
    """
    total = rows * math.prod(input_modes) * math.prod(output_modes)
    for k in range(1, len(input_modes)):
        entries = math.prod(input_modes[: k + 1]) * math.prod(output_modes[: k + 1])
        total += entries * ranks[k] * ranks[k + 1]
    return total


def cheaper_contraction(
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Sequence[int],
    rows: int | None,
) -> str:
    """Which of `"chain"` and `"rebuild"` takes fewer multiply-adds.

    Args:
        input_modes: Modes of the rows of the matrix.
        output_modes: Modes of the columns of the matrix.
        ranks: All d + 1 ranks.
        rows: How many rows are multiplied, or `None` where that is not known.

    Returns:
        `"chain"` or `"rebuild"`.

    Example:
        >>> cheaper_contraction((32, 32), (32, 32), (1, 4, 1), rows=1)
        'chain'
        >>> cheaper_contraction((32, 32), (32, 32), (1, 64, 1), rows=512)
        'rebuild'
    """
    count = UNKNOWN_ROWS if rows is None else rows
    chain_cost = chain_multiply_adds(input_modes, output_modes, ranks, count)
    rebuild_cost = rebuild_multiply_adds(input_modes, output_modes, ranks, count)
    return "chain" if chain_cost <= rebuild_cost else "rebuild"


def chain(x: Any, cores: Sequence[Any]) -> Any:
    """Multiply by the train core by core, never making the matrix.

    Args:
        x: Tensor of shape (rows, N).
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k), the product of the n_k being N.

    Returns:
        Tensor of shape (rows, M).
    """
    state = x
    pending = math.prod(core.shape[1] for core in cores)
    width = 1  # the rank that each remaining column of `state` carries
    for core in cores:
        rank, n, m, next_rank = core.shape
        rest = pending // n
        # Columns are (rank, n_k, n_{k+1}...n_d). The modes still to come go in front of the rows,
        # so that what is summed over, (rank, n_k), is last.
        if rest > 1:
            state = ops.transpose(ops.reshape(state, (-1, rest)))
        state = ops.matmul(
            ops.reshape(state, (-1, width * n)), ops.reshape(core, (rank * n, m * next_rank))
        )
        # Rows are (n_{k+1}...n_d, rows, m_1...m_{k-1}); the next step needs n_{k+1} after the rank.
        if rest > 1:
            state = ops.transpose(ops.reshape(state, (rest, -1)))
        pending, width = rest, next_rank
    return ops.reshape(state, (-1, math.prod(core.shape[2] for core in cores)))


def rebuild(cores: Sequence[Any]) -> Any:
    """The dense matrix of shape (N, M) that the cores make, differentiable.

    Args:
        cores: Tensors of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        Tensor of shape (N, M).
    """
    _, rows, columns, rank = cores[0].shape
    dense = ops.reshape(cores[0], (rows * columns, rank))
    for core in cores[1:]:
        rank, n, m, next_rank = core.shape
        dense = ops.matmul(dense, ops.reshape(core, (rank, n * m * next_rank)))
        dense = ops.transpose(ops.reshape(dense, (rows, columns, n, m * next_rank)), (0, 2, 1, 3))
        rows, columns = rows * n, columns * m
        dense = ops.reshape(dense, (rows * columns, next_rank))
    return ops.reshape(dense, (rows, columns))
