"""TT-rounding as one linear map a bond.

The usual algorithm (Oseledets 2011, algorithm 2) rewrites the cores one after another. Here each
bond k gets two small matrices, P_k of shape (r_k, r'_k) and Q_k of shape (r'_k, r_k) with
Q_k P_k = 1, and core k becomes Q_{k-1} G_k P_k. P_k Q_k projects onto the r'_k leading singular
directions of the bond, so the resulting matrix is that of TT-rounding. The advantage: the same maps
apply to anything else in the shape of the cores, such as an optimizer's momentum.
"""

import math
from collections.abc import Sequence

import numpy as np

from dart_keras.tensor_train.canonical import left_factors

BondMap = tuple[np.ndarray, np.ndarray]


def ranks_within(
    bond_singular_values: Sequence[np.ndarray], tolerance: float | None
) -> tuple[int, ...]:
    """Return the smallest inner ranks that guarantee a relative Frobenius error.

    Each of the d - 1 bonds may discard a share of `tolerance` / sqrt(d - 1) of the norm
    (Oseledets 2011, theorem 2.2 and corollary 2.4).

    Args:
        bond_singular_values: Descending singular values, one array a bond.
        tolerance: Maximum relative error, at least 0 and below 1.

    Returns:
        The d - 1 inner ranks, each at least 1.

    Raises:
        ValueError: If the tolerance is not in [0, 1).
    """
    if tolerance is None or not 0 <= tolerance < 1:
        raise ValueError(f"Expected `tolerance` in [0, 1). Received: tolerance={tolerance!r}")
    share = tolerance / math.sqrt(max(1, len(bond_singular_values)))
    ranks = []
    for values in bond_singular_values:
        # tails[r] is the norm of what is discarded when rank r is kept.
        tails = np.sqrt(np.append(np.cumsum(values[::-1] ** 2)[::-1], 0.0))
        # Rounding errors leave a tail even where the rank is exact.
        allowed = max(share, np.finfo(np.float64).eps * len(values)) * tails[0]
        ranks.append(max(1, int(np.argmax(tails <= allowed))))
    return tuple(ranks)


def bond_maps(cores: Sequence[np.ndarray], ranks: Sequence[int]) -> list[BondMap | None]:
    """Return the maps that truncate each bond to a rank; `None` for unchanged bonds.

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).
        ranks: All d + 1 new ranks, none above the present one.

    Returns:
        For each of the d + 1 bonds (both ends included) the pair (P_k, Q_k) or `None`.
    """
    maps: list[BondMap | None] = [None] * (len(cores) + 1)
    lefts = left_factors(cores)
    # From right to left; each bond takes the truncations to its right into account.
    beyond = np.ones((1, 1))
    for bond in range(len(cores) - 1, 0, -1):
        core = np.asarray(cores[bond], np.float64)
        if (after := maps[bond + 1]) is not None:
            core, beyond = np.tensordot(core, after[0], 1), after[1] @ beyond
        unfolded = np.tensordot(core, beyond, 1).reshape(core.shape[0], -1)
        beyond = np.linalg.qr(unfolded.T)[1].T
        if ranks[bond] < core.shape[0]:
            maps[bond] = _bond_map(lefts[bond - 1], beyond, ranks[bond])
    return maps


def _bond_map(left: np.ndarray, right: np.ndarray, rank: int) -> BondMap:
    u, s, vh = np.linalg.svd(left @ right)
    known = int(np.sum(s[:rank] > s[0] * np.finfo(np.float64).eps * left.shape[1]))
    scale = np.zeros(0) if known == 0 else 1 / np.sqrt(s[:known])
    p = right @ vh[:known].T * scale
    q = (u[:, :known] * scale).T @ left
    # Any invertible r' x r' matrix between P and Q gives the same TT matrix. This choice splits the
    # projector evenly: P and Q have the same, least possible, stretch. So the new cores, and the
    # optimizer's statistics of their gradients, keep the scale that training gave them.
    x, stretch, yh = np.linalg.svd(p @ q)
    root = np.sqrt(stretch[:known])
    even_p, even_q = x[:, :known] * root, root[:, None] * yh[:known]
    # Rotate so that slice i of a core belongs to singular value i, as closely as possible.
    a, _, bh = np.linalg.svd(even_p.T @ (p / np.linalg.norm(p, axis=0)))
    turn = a @ bh
    p, q = even_p @ turn, turn.T @ even_q
    # For ranks above that of the matrix, add slices that are zero on the right side.
    missing = rank - known
    p = np.concatenate([p, x[:, known : known + missing]], axis=1)
    q = np.concatenate([q, np.zeros((missing, q.shape[1]))])
    return p, q


def project(
    cores: Sequence[np.ndarray], maps: Sequence[BondMap | None], power: int = 1
) -> tuple[np.ndarray, ...]:
    """Apply the maps of `bond_maps` to arrays in the shape of the cores.

    Args:
        cores: One array a core, of the core's shape.
        maps: Result of `bond_maps`.
        power: 2 for squares, such as an optimizer's second moments: the entries of the maps are
            squared too, so a variance stays a variance.

    Returns:
        One array a core, of the smaller shape, in the dtype of the input.
    """
    projected = []
    for k, core in enumerate(cores):
        array = np.asarray(core, np.float64)
        if (before := maps[k]) is not None:
            array = np.tensordot(before[1] ** power, array, 1)
        if (after := maps[k + 1]) is not None:
            array = np.tensordot(array, after[0] ** power, 1)
        projected.append(array.astype(np.asarray(core).dtype))
    return tuple(projected)
