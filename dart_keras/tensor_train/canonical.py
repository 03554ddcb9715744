"""What lies to the left and to the right of every bond, as small square factors."""

from collections.abc import Sequence

import numpy as np


def left_factors(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each of the d - 1 bonds a matrix T with T'T = L'L, L being all cores left of the bond.

    L, the product of the cores to the left unfolded to a matrix with r columns, is an orthonormal
    matrix times T, so that T has at most r rows. Made by QR, core by core, in float64.
    """
    factors: list[np.ndarray] = []
    carry: np.ndarray = np.ones((1, 1))
    for core in cores[:-1]:
        moved = np.tensordot(carry, np.asarray(core, np.float64), 1)
        _, carry = np.linalg.qr(moved.reshape(-1, core.shape[3]))
        factors.append(carry)
    return factors


def right_factors(cores: Sequence[np.ndarray]) -> list[np.ndarray]:
    """For each of the d - 1 bonds a matrix S with S S' = R R', R being all cores to its right."""
    mirrored = [np.asarray(core).transpose(3, 1, 2, 0) for core in reversed(cores)]
    return [factor.T for factor in reversed(left_factors(mirrored))]
