"""Gauges of a train: how its matrix is shared out between neighbouring cores.

Between two cores any invertible matrix may stand with its inverse beside it: the train's matrix
stays as it is, the numbers of the cores and of what is between two products do not.
"""

from collections.abc import Sequence

import numpy as np


def balanced(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Puts every bond into the basis of its singular vectors, with half of each value on each side.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).

    Returns:
        Cores of the same matrix in float64. A rank that is more than its neighbours allow shrinks.

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
        # Values that are nothing but rounding errors would be blown up.
        roots = np.sqrt(np.maximum(values, 1e-9 * values[0]))
        scales.append((bond, np.where(roots > 0, roots, 1.0)))
    for bond, roots in scales:
        cores = with_matrix(cores, bond, np.diag(1 / roots), np.diag(roots))
    return cores


def rotated(cores: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """As `balanced`, and then turned at random, so that no index of a bond stands out.

    (As hidden states are before they are rounded in Ashkboos et al. 2024, QuaRot.)

    Args:
        cores: As for `balanced`.
        seed: Of the rotations.
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
    """The cores with a matrix and its inverse put between two of them; bonds count from 0."""
    cores = list(cores)
    cores[bond] = np.tensordot(cores[bond], matrix, 1)
    cores[bond + 1] = np.tensordot(inverse, cores[bond + 1], 1)
    return cores
