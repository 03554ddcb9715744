"""Core bases of a TT matrix: different cores for the same matrix.

Any invertible matrix and its inverse may be inserted between two neighbouring cores. The TT matrix
stays the same. The elements of the cores change, and so do the intermediate results.
"""

from collections.abc import Sequence

import numpy as np


def balanced(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Transform every bond to its singular vectors, with half of each value on each side.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        Cores of the same matrix in float64. Ranks above what their neighbours allow become smaller.

    Example:
        >>> cores = np.ones((1, 3, 3, 1)), 4 * np.ones((1, 3, 3, 1))
        >>> [float(np.abs(core).max().round(3)) for core in balanced(cores)]
        [2.0, 2.0]
    """
    cores = [np.asarray(core, np.float64) for core in cores]
    for bond in range(len(cores) - 1):
        q, r = np.linalg.qr(cores[bond].reshape(-1, cores[bond].shape[3]))
        cores[bond] = q.reshape(*cores[bond].shape[:3], -1)
        cores[bond + 1] = np.tensordot(r, cores[bond + 1], 1)
    scales = []
    for bond in reversed(range(len(cores) - 1)):
        left, *modes, right = cores[bond + 1].shape
        u, values, v = np.linalg.svd(cores[bond + 1].reshape(left, -1), full_matrices=False)
        cores[bond + 1] = v.reshape(-1, *modes, right)
        cores[bond] = np.tensordot(cores[bond], u * values, 1)
        # The bound keeps values that are rounding errors from being amplified.
        roots = np.sqrt(np.maximum(values, 1e-9 * values[0]))
        scales.append((bond, np.where(roots > 0, roots, 1.0)))
    for bond, roots in scales:
        cores = with_matrix(cores, bond, np.diag(1 / roots), np.diag(roots))
    return cores


def rotated(cores: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Balance the cores, then rotate every bond at random, so that no index stands out.

    Ashkboos et al. 2024, QuaRot, rotate hidden states in this way before quantization.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).
        seed: Random seed of the rotations.

    Returns:
        Cores of the same matrix in float64.
    """
    cores = balanced(cores)
    rng = np.random.default_rng(seed)
    for bond in range(len(cores) - 1):
        rank = cores[bond].shape[3]
        q, _ = np.linalg.qr(rng.normal(size=(rank, rank)))
        cores = with_matrix(cores, bond, q, q.T)
    return cores


def with_matrix(
    cores: Sequence[np.ndarray], bond: int, matrix: np.ndarray, inverse: np.ndarray
) -> list[np.ndarray]:
    """Insert a matrix and its inverse between two cores.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).
        bond: The bond between cores `bond` and `bond + 1`, both counted from 0.
        matrix: Array of shape (r, r'), applied to the left core.
        inverse: Array of shape (r', r), applied to the right core.

    Returns:
        Cores of the same matrix.
    """
    cores = list(cores)
    cores[bond] = np.tensordot(cores[bond], matrix, 1)
    cores[bond + 1] = np.tensordot(inverse, cores[bond + 1], 1)
    return cores
