"""Pareto fronts of points with several costs."""

import numpy as np

# Finest grid of costs, on which points are distinguished: 5 %.
FINEST_STEP = 1.05


def non_dominated(costs: np.ndarray) -> np.ndarray:
    """Return the points that no other point matches or beats in every cost.

    Args:
        costs: Array of shape (points, costs). Of points with equal costs the first one counts.

    Returns:
        Indices of the front, in ascending order of the first cost, then of the second, and so on.

    Example:
        >>> non_dominated(np.array([[1, 3], [2, 2], [3, 3], [0, 4], [2, 2]]))
        array([3, 0, 1])
    """
    remaining = np.lexsort(costs.T[::-1])
    front = []
    while len(remaining):
        # No later point beats the first of these in the first cost that differs.
        front.append(remaining[0])
        better_somewhere = np.any(costs[remaining] < costs[remaining[0]], axis=1)
        remaining = remaining[better_somewhere]
    return np.array(front, int)


def spread_front(costs: np.ndarray, size: int) -> np.ndarray:
    """Return at most `size` points that represent the front and are far from each other.

    Costs are compared on a logarithmic grid, which gets coarser until few enough points are left
    (the epsilon-dominance of Laumanns et al. 2002, "Combining convergence and diversity in
    evolutionary multiobjective optimization"). A point that is left out is beaten by one that is
    kept, up to the width of the grid.

    Args:
        costs: Array of shape (points, costs), all positive.
        size: Maximum number of points; at least 1.

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
        # One integer per cell, since NumPy's `unique` is slow for rows.
        keys = np.ravel_multi_index(tuple(cells.T), tuple(cells.max(axis=0) + 1))
        _, first = np.unique(keys, return_index=True)
        indices = indices[np.sort(first)]
        cells = cells[np.sort(first)]
        indices = indices[non_dominated(cells)]
        if len(indices) <= size:
            return np.sort(indices)
        step *= 2
