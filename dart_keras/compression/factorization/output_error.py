"""What a layer's outputs lose when another matrix takes the place of its own."""

import math
from functools import cached_property

import numpy as np

from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.two_core_svd import two_core_svd
from dart_keras.tensor_train import TTMatrix

# What the original kernel leaves of the targets in single precision, as a share of their variance.
_EXACT = 1e-9

# By how much the score counts what a fit uses up of the rows. Its plain form, with 1, fits too
# closely now and then, for which Kim and Gu have 1.4 (2004, "Smoothing spline Gaussian regression:
# more scalable computation via efficient approximation"); windows and patches resemble each other.
_CAUTION = 2.0

# Penalties that are tried, relative to the inputs' mean variance.
_RIDGES = np.logspace(-6, 4, 61)


class OutputError:
    """E||y - x W' - b'||^2, at the best b', as a quadratic function of W'.

    Two things that few rows cannot tell are taken from elsewhere. Which directions inputs take: to
    the covariance S of the rows a multiple of the identity is added, so that directions that
    calibration does not show are kept as W has them, as well as the ranks allow. And how far the
    best matrix is from the original W, where the inputs carry the errors of layers before: ridge
    regression towards W instead of zero (see `_ridge_step`).
    """

    def __init__(self, kernel: np.ndarray, moments: Moments) -> None:
        self._root = moments.root
        kernel, cross = self._weighted(kernel), self._weighted(moments.cross_covariance)
        self._moments, self._strength = moments, moments.prior_strength()
        # What the original kernel leaves of the targets, and what inputs have in common with that.
        common = cross - moments.covariance_times(kernel)
        left = moments.target_variance - float(np.sum(kernel * (cross + common)))
        if left > _EXACT * moments.target_variance:
            step = _ridge_step(*self._directions, common, left, moments.count)
        else:
            left, step = 0.0, np.zeros_like(kernel)
        self.best = kernel + step
        explained = np.sum(step * (2 * common - moments.covariance_times(step)))
        self.unexplained = max(0.0, left - float(explained))
        self.variance = moments.target_variance + self._strength * float(np.sum(kernel**2))
        # In these coordinates errors are plain distances.
        self.fitted = self._as_distances(self.best)

    @cached_property
    def metric(self) -> np.ndarray:
        """The covariance and the multiple of the identity, of shape (N, N)."""
        covariance = self._moments.input_covariance
        return covariance + self._strength * np.eye(len(covariance))

    @cached_property
    def _directions(self) -> tuple[np.ndarray, np.ndarray]:
        return self._moments.principal_directions()

    @cached_property
    def _factor(self) -> np.ndarray:
        return np.linalg.cholesky(self.metric)

    @cached_property
    def _inverse(self) -> np.ndarray:
        assert self._root is not None
        return np.linalg.inv(self._root)

    def _as_distances(self, matrix: np.ndarray) -> np.ndarray:
        """Return the product with a root of the metric."""
        if not self._moments.are_few:
            return self._factor.T @ matrix
        # The symmetric root, which leaves all directions without variance alike.
        variances, directions = self._directions
        flat = math.sqrt(self._strength)
        more = np.sqrt(variances + self._strength) - flat
        return flat * matrix + directions @ (more[:, None] * (directions.T @ matrix))

    def _weighted(self, matrix: np.ndarray) -> np.ndarray:
        return matrix if self._root is None else matrix @ self._root

    def relative(self, lost: np.ndarray) -> np.ndarray:
        """Return the relative error if the fitted outputs lose a squared norm of `lost`."""
        if self.variance == 0:
            return np.zeros_like(lost)
        return (self.unexplained + lost) / self.variance

    def of(self, matrix: np.ndarray) -> float:
        """Return the relative error of a matrix."""
        lost = np.sum((self._as_distances(self._weighted(matrix)) - self.fitted) ** 2)
        return float(self.relative(lost))

    def of_ranks(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the errors of two cores cut to rank 1, 2, ..., one after another.

        The k-th slice of the cores, w, changes the squared distance <D, A D S> of D = W - B, with A
        the metric and S the sensitivity, by 2 <A D S, w> + <A w, w S>. A w and w S are had from the
        two small factors of w, which takes a fraction of what products of full matrices do.

        Args:
            first: Array of shape (n_1, m_1, r).
            last: Array of shape (r, n_2, m_2).
        """
        (n1, m1, rank), (_, n2, m2) = first.shape, last.shape
        n, m = n1 * n2, m1 * m2
        root = np.eye(m) if self._root is None else self._root
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

    def full_rank(self) -> np.ndarray:
        """Return the best matrix of any rank."""
        return self.best if self._root is None else self.best @ self._inverse

    def low_rank(self, rank: int) -> TTMatrix:
        """Return the best cores with the modes (N, 1) and (1, M)."""
        n, m = self.fitted.shape
        _, last = two_core_svd(self.fitted, (n, 1), (1, m), rank).cores
        right = np.linalg.qr(last[:, 0, :, 0].T)[0].T
        left = self.best @ right.T
        if self._root is not None:
            # Orthonormal again, so that what is between the cores quantizes well.
            right, mixing = np.linalg.qr((right @ self._inverse).T)
            left, right = left @ mixing.T, right.T
        return TTMatrix((left[None, :, None, :], right[:, None, :, None]))


def _ridge_step(
    variances: np.ndarray, directions: np.ndarray, common: np.ndarray, left: float, count: int
) -> np.ndarray:
    """Return the step away from the original kernel that is expected to serve unseen rows best.

    Of ridge regressions of what the kernel leaves of the targets the one of the least generalized
    cross-validation score (Golub, Heath and Wahba 1979, "Generalized cross-validation as a method
    for choosing a good ridge parameter", Technometrics 21): the squared error over the square of
    the share of rows that the fit does not use up. No step where none has a better score.

    Args:
        variances: Of the inputs in orthogonal directions, of shape (k,); in others they have none.
        directions: These directions, of shape (N, k).
        common: Their covariance with what is left, of shape (N, M).
        left: The variance of what is left.
        count: How many rows the covariances are of.
    """
    turned = directions.T @ common
    squares = np.sum(turned**2, axis=1)
    mean = float(np.sum(variances)) / len(common)
    ridges = max(mean, np.finfo(np.float64).tiny) * _RIDGES[:, None]
    lost = left - (squares * (variances + 2 * ridges) / (variances + ridges) ** 2).sum(1)
    # One for the mean.
    free = 1 - _CAUTION * (1 + (variances / (variances + ridges)).sum(1)) / count
    scores = np.where(free > 0, np.maximum(lost, 0.0) / np.maximum(free, 1e-12) ** 2, np.inf)
    k = int(np.argmin(scores))
    # Without a step nothing but the mean is fitted.
    if not float(scores[k]) * (1 - _CAUTION / count) ** 2 < left:
        return np.zeros_like(common)
    return directions @ (turned / (variances + ridges[k])[:, None])
