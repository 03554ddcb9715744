"""More ranks for a TT matrix that stays the same matrix."""

from collections.abc import Sequence

import numpy as np

from dart_keras.tensor_train.rounding import BondMap, project


def enlarge(
    cores: Sequence[np.ndarray], ranks: Sequence[int], rng: np.random.Generator
) -> tuple[tuple[np.ndarray, ...], list[BondMap | None]]:
    """Add rank slices to cores without changing their matrix.

    A new slice is random in the core to the left of its bond and zero in the core to the right, so
    that it adds nothing yet, but has a gradient from the first step on (Evci et al. 2022, "GradMax:
    Growing Neural Networks using Gradient Information", section 3).

    Args:
        cores: Arrays of shape (r_{k-1}, n_k, m_k, r_k).
        ranks: All d + 1 new ranks, none below the present one.
        rng: Draws the new slices, with the mean square of those that are there.

    Returns:
        The larger cores in the dtype of the given ones; and for each of the d + 1 bonds the maps
        that put anything in the shape of the old cores into the shape of the new ones, with zeros
        in new places, as `project` takes them. `None` for bonds that keep their rank.

    Example:
        >>> cores = (np.ones((1, 2, 2, 1)), np.ones((1, 3, 3, 1)))
        >>> larger, _ = enlarge(cores, (1, 2, 1), np.random.default_rng(0))
        >>> [core.shape for core in larger]
        [(1, 2, 2, 2), (2, 3, 3, 1)]
    """
    maps: list[BondMap | None] = [
        None if rank == new else (np.eye(rank, new), np.eye(new, rank))
        for rank, new in zip([1, *(core.shape[3] for core in cores)], ranks, strict=True)
    ]
    larger = []
    for core, enlarged in zip(cores, project(cores, maps), strict=True):
        left, *modes, right = core.shape
        added = enlarged.shape[3] - right
        if added:
            size = np.sqrt(np.mean(np.square(core, dtype=np.float64)))
            enlarged[:left, ..., right:] = rng.normal(scale=size, size=(left, *modes, added))
        larger.append(enlarged)
    return tuple(larger), maps
