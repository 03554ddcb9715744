"""Costs of many candidate TT matrices at once, vectorized.

The candidates of one call have the same number d of cores. Arrays have a column for each candidate:
modes the shape (d, candidates), ranks the shape (d + 1, candidates). Counts are floats, which are
exact up to 2**53, far more than any number of parameters.
"""

import numpy as np

from dart_keras.devices import CostModel, Device


def batch_rank_limits(sizes: np.ndarray) -> np.ndarray:
    """Return the largest useful rank at every bond, for sizes n_k m_k of the cores."""
    one = np.ones((1, sizes.shape[1]))
    left = np.concatenate([one, np.cumprod(sizes, axis=0, dtype=float)])
    right = np.concatenate([one, np.cumprod(sizes[::-1], axis=0, dtype=float)])[::-1]
    return np.minimum(left, right)


def batch_uniform_ranks(sizes: np.ndarray, rank: int) -> np.ndarray:
    """Return the same rank at every bond, clipped as in `complete_ranks`."""
    return np.minimum(batch_rank_limits(sizes), rank)


def batch_ranks_within(sizes: np.ndarray, max_parameters: float) -> np.ndarray:
    """Return the largest uniform rank, clipped, within a number of parameters.

    Returns:
        Ranks; zeros for candidates that have more parameters even at rank 1.
    """
    limits = batch_rank_limits(sizes)
    low = np.zeros(sizes.shape[1])
    high = np.minimum(limits.max(axis=0), max_parameters)
    while np.any(low < high):
        middle = np.ceil((low + high) / 2)
        fits = batch_count_parameters(sizes, np.minimum(limits, middle)) <= max_parameters
        low = np.where(fits, middle, low)
        high = np.where(fits, high, middle - 1)
    return np.minimum(limits, low)


def batch_count_parameters(sizes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Return the number of parameters of each candidate's cores."""
    return (ranks[:-1] * sizes * ranks[1:]).sum(axis=0)


def chain_costs(
    inputs: np.ndarray, outputs: np.ndarray, ranks: np.ndarray, rows: int, device: Device
) -> np.ndarray:
    """Return the estimated costs of each candidate, in its fastest chain of products.

    A chain begins with any core and then multiplies by a neighbour of the cores so far: left to
    right, right to left, or outwards from the middle. The fastest one is found by dynamic
    programming over intervals of cores. Of the planner's other orders, only rebuilding the dense
    matrix is considered, and not merging neighbouring cores first.

    Args:
        inputs: Input modes, of shape (d, candidates).
        outputs: Output modes, of shape (d, candidates).
        ranks: Ranks, of shape (d + 1, candidates).
        rows: Number of rows of the input.
        device: The device whose time is estimated.

    Returns:
        Array of shape (3, candidates): multiply-adds, microseconds and the most elements that a
        product reads and writes.
    """
    d = len(inputs)
    one = np.ones((1, inputs.shape[1]))
    waiting_left = np.concatenate([one, np.cumprod(inputs, axis=0, dtype=float)])
    waiting_right = np.concatenate([one, np.cumprod(inputs[::-1], axis=0, dtype=float)])[::-1]
    made = np.concatenate([one, np.cumprod(outputs, axis=0, dtype=float)])

    def state(first: int, last: int) -> np.ndarray:
        around = waiting_left[first] * waiting_right[last] * ranks[first] * ranks[last]
        return rows * around * (made[last] / made[first])

    start, model = rows * waiting_right[0], device.costs
    best: dict[tuple[int, int], np.ndarray] = {}
    for length in range(1, d + 1):
        for first in range(d - length + 1):
            last = first + length
            after = state(first, last)
            if length == 1:
                columns = ranks[first] * outputs[first] * ranks[last]
                # The last mode is already at the end, as the product needs it.
                best[first, last] = _product(
                    start, inputs[first], columns, after, rows, model, last == d
                )
                continue
            inner = ranks[last - 1] * inputs[last - 1]
            columns = outputs[last - 1] * ranks[last]
            before = state(first, last - 1)
            right = _followed(
                best[first, last - 1],
                _product(before, inner, columns, after, rows, model, False),
            )
            inner = ranks[first + 1] * inputs[first]
            columns = outputs[first] * ranks[first]
            before = state(first + 1, last)
            # The next mode and the rank are at the end, too, if no output mode follows them.
            in_place = (made[last] == made[first + 1]) & (last == d)
            left = _followed(
                best[first + 1, last],
                _product(before, inner, columns, after, rows, model, in_place),
            )
            best[first, last] = np.where(right[1] <= left[1], right, left)
    chain = best[0, d]
    if device.runs_files:
        return chain
    rebuilt = _rebuilt(inputs, outputs, ranks, rows, model)
    return np.where(chain[1] <= rebuilt[1], chain, rebuilt)


def _product(
    before: np.ndarray,
    inner: np.ndarray,
    columns: np.ndarray,
    after: np.ndarray,
    rows: int,
    model: CostModel,
    in_place: np.ndarray | bool,
) -> np.ndarray:
    """Return the costs of a product of matrices, after moving the left one's axes if necessary."""
    others = before / inner
    # A sum over one element needs no moved axes.
    moved = (others > rows) & (inner > 1) & np.logical_not(in_place)
    time = model.product(others, inner, columns) + moved * model.transpose(before)
    peak = np.where(moved, np.maximum(before + after, 2 * before), before + after)
    return np.stack([before * columns, time, peak])


def _followed(chain: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.stack([chain[0] + step[0], chain[1] + step[1], np.maximum(chain[2], step[2])])


def _rebuilt(
    inputs: np.ndarray, outputs: np.ndarray, ranks: np.ndarray, rows: int, model: CostModel
) -> np.ndarray:
    sizes = inputs * outputs
    held = sizes[0].astype(float)
    arithmetic = time = peak = np.zeros(inputs.shape[1])
    for k in range(1, len(inputs)):
        columns = sizes[k] * ranks[k + 1]
        arithmetic = arithmetic + held * ranks[k] * columns
        time = time + model.product(held, ranks[k], columns)
        time = time + model.transpose(held * columns)
        peak = np.maximum(peak, held * (ranks[k] + columns))
        held = held * sizes[k]
    n, m = np.prod(inputs, axis=0, dtype=float), np.prod(outputs, axis=0, dtype=float)
    return np.stack(
        [
            arithmetic + rows * n * m,
            time + model.product(np.full_like(n, rows), n, m),
            np.maximum(peak, rows * (n + m)),
        ]
    )
