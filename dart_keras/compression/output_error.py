"""What a layer's outputs lose when another matrix takes the place of its own."""

import math

import numpy as np

from dart_keras.compression.moments import Moments
from dart_keras.tensor_train import TTMatrix


class OutputError:
    """E||y - x W' - b'||^2, at the best b', as a quadratic function of W'.

    Two things that few rows cannot tell are taken from elsewhere. Which directions inputs take: to
    the covariance S of the rows a multiple of the identity is added, so that directions that
    calibration does not show are kept as W has them, as well as the ranks allow. And how far the
    best matrix is from the original W, where the inputs carry the errors of layers before: ridge
    regression towards W instead of zero (see `_ridge`).
    """

    def __init__(self, kernel: np.ndarray, moments: Moments) -> None:
        self._root = moments.root
        kernel, cross = self._weighted(kernel), self._weighted(moments.cross_covariance)
        covariance, identity = moments.input_covariance, np.eye(len(kernel))
        strength = moments.prior_strength()
        self.metric = covariance + strength * identity
        self._factor = np.linalg.cholesky(self.metric)
        # What the original kernel leaves of the targets, and what inputs have in common with that.
        common = cross - covariance @ kernel
        left = max(0.0, moments.target_variance - float(np.sum(kernel * (cross + common))))
        ridge = max(strength, _ridge(covariance, common, left, moments.count))
        if math.isinf(ridge):
            step = np.zeros_like(kernel)
        else:
            step = np.linalg.solve(covariance + ridge * identity, common)
        self.best = kernel + step
        self.unexplained = max(0.0, left - float(np.sum(step * (2 * common - covariance @ step))))
        self.variance = moments.target_variance + strength * float(np.sum(kernel**2))
        # In these coordinates errors are plain distances.
        self.fitted = self._factor.T @ self.best

    def _weighted(self, matrix: np.ndarray) -> np.ndarray:
        return matrix if self._root is None else matrix @ self._root[0]

    def relative(self, lost: np.ndarray) -> np.ndarray:
        """The relative error where a squared norm of `lost` of the fitted outputs is missing."""
        if self.variance == 0:
            return np.zeros_like(lost)
        return (self.unexplained + lost) / self.variance

    def of(self, matrix: np.ndarray) -> float:
        """The relative error of a matrix."""
        lost = np.sum((self._factor.T @ self._weighted(matrix) - self.fitted) ** 2)
        return float(self.relative(lost))

    def of_ranks(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """The errors of two cores cut to rank 1, 2, ..., one after another.

        The k-th slice of the cores, w, changes the squared distance <D, A D S> of D = W - B, with A
        the metric and S the sensitivity, by 2 <A D S, w> + <A w, w S>. A w and w S are had from the
        two small factors of w, which takes a fraction of what products of full matrices do.

        Args:
            first: Array of shape (n_1, m_1, r).
            last: Array of shape (r, n_2, m_2).
        """
        (n1, m1, rank), (_, n2, m2) = first.shape, last.shape
        n, m = n1 * n2, m1 * m2
        root = np.eye(m) if self._root is None else self._root[0]
        wanted = self.metric @ self.best @ root.T
        unfolded = wanted.reshape(n1, n2, m1, m2).transpose(0, 2, 1, 3).reshape(n1 * m1, n2 * m2)
        linear = (first.reshape(-1, rank).T @ unfolded * last.reshape(rank, -1)).sum(1)
        metric = self.metric.reshape(n, n1, n2)
        # With the columns in the order (m_2, m_1), in which A w comes out.
        weights = (root @ root.T).reshape(m1, m2, m1, m2).transpose(0, 1, 3, 2).reshape(m1, m2, m)
        before: np.ndarray = np.zeros((n, m))
        lost = float(np.sum(self.fitted**2))
        found = np.zeros(rank)
        for k in range(rank):
            left, right = first[..., k], last[k]
            product = np.tensordot(metric @ right, left, (1, 0)).reshape(n, m)
            inner = np.tensordot(right, weights, (1, 1))
            weighted = np.tensordot(left, inner, (1, 1)).reshape(n, m)
            lost += 2 * float(np.vdot(product, before)) + float(np.vdot(product, weighted))
            lost -= 2 * float(linear[k])
            before += weighted
            found[k] = lost
        return self.relative(np.maximum(found, 0.0))

    def low_rank(self, rank: int) -> TTMatrix:
        """The best cores with the modes (N, 1) and (1, M)."""
        right = np.linalg.svd(self.fitted, full_matrices=False)[2][:rank]
        left = self.best @ right.T
        if self._root is not None:
            # Orthonormal again, so that what is between the cores quantizes well.
            right, mixing = np.linalg.qr((right @ self._root[1]).T)
            left, right = left @ mixing.T, right.T
        return TTMatrix((left[None, :, None, :], right[:, None, :, None]))


def _ridge(covariance: np.ndarray, common: np.ndarray, left: float, count: int) -> float:
    """The penalty on a step away from the original kernel that the rows themselves call for.

    Empirical Bayes: noise of variance v a output that has nothing to do with the inputs would give
    ||common||^2 the expectation v M tr(S) / rows; steps with entries of variance t add
    t M ||S||^2. Solved for t, the penalty is v / (rows t) (Hoerl, Kennard and Baldwin 1975, "Ridge
    regression: some simulations", have the same ratio from a least-squares fit, which needs more
    rows than inputs). Infinite where what is common is no more than chance.
    """
    signal = float(np.sum(common**2)) - left * float(np.trace(covariance)) / count
    return left * float(np.sum(covariance**2)) / (count * signal) if signal > 0 else math.inf
