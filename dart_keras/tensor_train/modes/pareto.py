"""What is left when points are dropped that others beat in every cost."""

import numpy as np

# The grid of costs that points are told apart by: 5 % to begin with.
FINEST_STEP = 1.05


def non_dominated(costs: np.ndarray) -> np.ndarray:
    """The points that no other point matches or beats in every cost.

    Args:
        costs: Array of shape (points, costs). Of points with the same costs the first one counts.

    Returns:
        Indices of the front, in ascending order of the first cost, then of the second, and so on.

    Example:
        >>> non_dominated(np.array([[1, 3], [2, 2], [3, 3], [0, 4], [2, 2]]))
        array([3, 0, 1])
    """
    remaining = np.lexsort(costs.T[::-1])
    front = []
    while len(remaining):
        # Nothing that comes later can beat the first of these in the first cost that differs.
        front.append(remaining[0])
        better_somewhere = np.any(costs[remaining] < costs[remaining[0]], axis=1)
        remaining = remaining[better_somewhere]
    return np.array(front, int)


def spread_front(costs: np.ndarray, size: int) -> np.ndarray:
    """At most about `size` points that stand for the front, far from each other.

    Costs are read on a logarithmic grid that gets coarser until few enough points are left (the
    epsilon-dominance of Laumanns et al. 2002, "Combining convergence and diversity in evolutionary
    multiobjective optimization"). A point that is left out is beaten by one that stays, but for
    the width of the grid.

    Args:
        costs: Array of shape (points, costs), all positive.
        size: How many points there should be at most; at least 1.

    Returns:
        Indices of the points.

    Example:
        >>> x = np.linspace(1, 100, 1000)
        >>> spread_front(np.stack([x, 1 / x], axis=1), 4)
        array([  1,  38, 220])
    """
    logarithms = np.log(costs)
    indices = np.arange(len(costs))
    step = np.log(FINEST_STEP)
    while True:
        cells = np.floor(logarithms[indices] / step).astype(np.int64)
        cells -= cells.min(axis=0)
        # One number a cell, since NumPy is slow to tell rows apart.
        keys = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
        _, first = np.unique(keys, return_index=True)
        indices = indices[np.sort(first)]
        cells = cells[np.sort(first)]
        indices = indices[non_dominated(cells)]
        if len(indices) <= size:
            return np.sort(indices)
        step *= 2
