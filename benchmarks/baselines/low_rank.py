"""Published ways to give every matrix of a pretrained model a lower rank, written from the papers.

Each returns the product of the two factors, so that a model's outputs can be had without a layer
for them. Layouts are Keras's: a kernel W of shape (N, M), inputs x of shape (rows, N), outputs x W.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The exponent of ASVD's scales.
_ALPHA = 0.5
# Added to the mean variance where inputs have no variance in some direction.
_RIDGE = 1e-6


class Inputs(NamedTuple):
    """What calibration rows say about a layer's inputs.

    Attributes:
        second_moment: E[x' x], of shape (N, N).
        magnitude: E|x|, of shape (N,).
    """

    second_moment: np.ndarray
    magnitude: np.ndarray


def svd(kernel: np.ndarray, rank: int, inputs: Inputs | None = None) -> np.ndarray:
    """Return the truncated singular value decomposition, whatever the inputs."""
    u, s, vt = np.linalg.svd(kernel, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ vt[:rank]


def svd_llm(kernel: np.ndarray, rank: int, inputs: Inputs | None) -> np.ndarray:
    """Return the matrix of a rank with the least error of the outputs (arXiv:2403.07378).

    The inputs are whitened by a Cholesky factor of their second moment. Without inputs, plain SVD.
    """
    if inputs is None:
        return svd(kernel, rank)
    n = len(kernel)
    ridge = _RIDGE * np.trace(inputs.second_moment) / n
    factor = np.linalg.cholesky(inputs.second_moment + ridge * np.eye(n))
    return np.linalg.solve(factor.T, svd(factor.T @ kernel, rank))


def asvd(kernel: np.ndarray, rank: int, inputs: Inputs | None) -> np.ndarray:
    """Return the matrix of a rank after scaling inputs by their magnitude (arXiv:2312.05821)."""
    if inputs is None:
        return svd(kernel, rank)
    scale = np.maximum(inputs.magnitude, 1e-6 * inputs.magnitude.max())[:, None] ** _ALPHA
    return svd(scale * kernel, rank) / scale


METHODS = {"SVD": svd, "SVD-LLM": svd_llm, "ASVD": asvd}


def uniform_ranks(shapes: Sequence[tuple[int, int]], budget: int) -> list[int | None]:
    """Return ranks with which every matrix keeps the same share of its parameters.

    Args:
        shapes: Shapes (N, M) of the matrices.
        budget: How many parameters all of them may have.

    Returns:
        The ranks, at least 1; `None` where a matrix stays whole.
    """
    share = budget / sum(n * m for n, m in shapes)
    return [None if share >= 1 else max(1, int(share * n * m / (n + m))) for n, m in shapes]


def threshold_ranks(kernels: Sequence[np.ndarray], budget: int) -> list[int | None]:
    """Return ranks by one threshold for all matrices, as WeLore does (arXiv:2407.11239).

    Singular values count relative to the largest of their matrix. A matrix stays whole where its
    factors would have as many parameters.

    Args:
        kernels: The matrices.
        budget: As for `uniform_ranks`.
    """
    values = [np.linalg.svd(kernel, compute_uv=False) for kernel in kernels]
    relative = [s / s[0] for s in values]

    def at(threshold: float) -> list[int | None]:
        ranks = [max(1, int(np.sum(s >= threshold))) for s in relative]
        return [
            None if rank * sum(k.shape) >= k.size else rank
            for rank, k in zip(ranks, kernels, strict=True)
        ]

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        if parameters(at(middle), [k.shape for k in kernels]) > budget:
            low = middle
        else:
            high = middle
    return at(high)


def parameters(ranks: Sequence[int | None], shapes: Sequence[tuple[int, ...]]) -> int:
    """Return how many parameters matrices have at some ranks, `None` for a whole one."""
    return sum(
        n * m if rank is None else rank * (n + m)
        for rank, (n, m) in zip(ranks, shapes, strict=True)
    )
