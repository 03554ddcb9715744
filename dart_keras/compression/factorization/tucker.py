"""The Tucker-2 factorization of a convolution's kernel: fewer input and output channels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dart_keras.compression.factorization.moments import Moments
from dart_keras.compression.factorization.tt_decomposition import decompose

# A round of alternation that takes off a smaller share of the error than this is the last one.
_PROGRESS = 1e-2
_MOST_ROUNDS = 10
_ROUNDING = 1e-12
# The input factor's normal equations have c_in * r_in unknowns; with more it stays as it begins.
_MOST_UNKNOWNS = 4096


class Tucker2(NamedTuple):
    """W[p, i, o] = sum over a, b of U[i, a] G[p, a, b] V[b, o], p being the place in a patch.

    Attributes:
        input_factor: U of shape (c_in, r_in), or `None` for the identity.
        core: G of shape (places, r_in, r_out).
        output_factor: V of shape (r_out, c_out), or `None` for the identity.
    """

    input_factor: np.ndarray | None
    core: np.ndarray
    output_factor: np.ndarray | None

    def to_dense(self) -> np.ndarray:
        """Return the kernel W of shape (places, c_in, c_out)."""
        kernel = self.core if self.input_factor is None else self.input_factor @ self.core
        return kernel if self.output_factor is None else kernel @ self.output_factor


class KernelError:
    """How far the outputs of a kernel W are from the best ones, as a plain distance.

    With C C' the inputs' second moment and R R' the weights of the outputs, the expected squared
    error is that of the best kernel plus ||C' (W - best) R||^2. Without moments C and R are
    identities, and the best kernel is the layer's own.

    Args:
        kernel: Array of shape (places, c_in, c_out).
        moments: Of patches, `places * c_in` inputs, or `None` to keep to the weights.
    """

    def __init__(self, kernel: np.ndarray, moments: Moments | None) -> None:
        self.places, self.channels, outputs = kernel.shape
        self.best = kernel.reshape(-1, outputs)
        size = len(self.best)
        self.metric: np.ndarray = np.eye(size)
        self.factor: np.ndarray = self.metric
        self.root = self.inverse_root = np.eye(outputs)
        if moments is not None:
            modes = (size, 1), (1, outputs)
            self.best = decompose(self.best, *modes, outputs, moments).matrix.to_dense()
            self.metric = moments.input_covariance + moments.prior_strength() * self.metric
            self.factor = np.linalg.cholesky(self.metric)
            if moments.root is not None:
                self.root, self.inverse_root = moments.root, np.linalg.inv(moments.root)
        self.fitted = self.factor.T @ self.best @ self.root

    def of(self, tucker: Tucker2) -> float:
        """Return the squared distance from the best kernel's outputs."""
        matrix = tucker.to_dense().reshape(self.best.shape)
        return float(np.sum((self.factor.T @ matrix @ self.root - self.fitted) ** 2))

    def seen_through(self, input_factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """QR of C' (I x U): what outputs can be made of through U, its columns side by side."""
        blocks = self.factor.T.reshape(-1, self.places, self.channels) @ input_factor
        return np.linalg.qr(blocks.transpose(0, 2, 1).reshape(len(self.factor), -1))

    def input_directions(self) -> np.ndarray:
        """Orthonormal columns (c_in, c_in), the first of which are the input channels' best U.

        Best as in a higher-order SVD: by the kernel's unfolding at the input channels, in
        coordinates in which the inputs are white at each place, taken over all places.
        """
        metric = self.metric.reshape(self.places, self.channels, self.places, self.channels)
        factor = np.linalg.cholesky(np.einsum("piPj,pP->ij", metric, np.eye(self.places)))
        kernel = (self.best @ self.root).reshape(self.places, self.channels, -1)
        unfolded = kernel.transpose(1, 0, 2).reshape(self.channels, -1)
        left, _, _ = np.linalg.svd(factor.T @ unfolded)
        return np.linalg.qr(np.linalg.solve(factor.T, left))[0]


def tucker2(error: KernelError, input_rank: int | None, output_rank: int | None) -> Tucker2:
    """Return a Tucker-2 factorization with little error (Kim et al. 2016, section 3.1).

    For a given input factor the rest is reduced-rank regression, which has an exact answer, and for
    the rest given the input factor solves linear equations. They take turns for as long as it
    gains, and the error falls with every turn, to a local minimum.

    Args:
        error: Of the kernel.
        input_rank: r_in from 1 to c_in, or `None` to leave the input channels whole.
        output_rank: r_out from 1 to c_out, or `None` to leave the output channels whole.

    Returns:
        The factors.

    Example:
        >>> kernel = np.random.default_rng(0).normal(size=(9, 6, 4))
        >>> whole = tucker2(KernelError(kernel, None), 6, 4)
        >>> bool(np.allclose(whole.to_dense(), kernel))
        True
    """
    if input_rank is None:
        core, output_factor = _rest(error, np.eye(error.channels), output_rank)
        return Tucker2(None, core, output_factor)
    best = _with_input(error, error.input_directions()[:, :input_rank], output_rank)
    if error.channels * input_rank > _MOST_UNKNOWNS or input_rank == error.channels:
        return best
    loss = error.of(best)
    if loss == 0:  # as of a kernel of zeros, whose equations have no one answer
        return best
    for _ in range(_MOST_ROUNDS):
        turned = _with_input(error, _input_factor(error, best), output_rank)
        if (lower := error.of(turned)) >= loss:
            break
        best, loss, before = turned, lower, loss
        if before - loss <= _PROGRESS * before:
            break
    return best


def rank_losses(error: KernelError, input_ranks: Sequence[int]) -> list[np.ndarray]:
    """Return the squared error where `tucker2` starts, at some input and all output ranks.

    Args:
        error: Of the kernel.
        input_ranks: From 1 to c_in.

    Returns:
        For each input rank an array of the errors at output rank 1, 2, ... as far as there are
        different ones.

    Example:
        >>> kernel = np.diag([4.0, 3.0])[None]
        >>> [losses.round(9).tolist() for losses in rank_losses(KernelError(kernel, None), [1, 2])]
        [[9.0], [9.0, 0.0]]
    """
    basis, _ = error.seen_through(error.input_directions())
    fitted = basis.T @ error.fitted
    whole = float(np.sum(fitted**2))
    losses = []
    for rank in input_ranks:
        # The basis of the first directions is the first part of the basis of all.
        part, rest = np.split(fitted, [rank * error.places])
        values = np.linalg.svd(part, compute_uv=False) ** 2
        tail = np.append(np.cumsum(values[::-1])[::-1][1:], 0.0)
        losses.append(np.minimum(tail + np.sum(rest**2), whole))
    return losses


def _with_input(error: KernelError, factor: np.ndarray, output_rank: int | None) -> Tucker2:
    return Tucker2(factor, *_rest(error, factor, output_rank))


def _rest(
    error: KernelError, input_factor: np.ndarray, output_rank: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the best core and output factor for an input factor."""
    basis, upper = error.seen_through(input_factor)
    fitted = basis.T @ error.fitted
    if output_rank is None:
        right, output_factor = error.inverse_root, None
    else:
        components = np.linalg.svd(fitted, full_matrices=False)[2][:output_rank]
        right, output_factor = components.T, components @ error.inverse_root
    core = np.linalg.solve(upper, fitted @ right)
    core = core.reshape(input_factor.shape[1], error.places, -1).transpose(1, 0, 2)
    return core, output_factor


def _input_factor(error: KernelError, tucker: Tucker2) -> np.ndarray:
    """Orthonormal columns that span the best input factor for a core and an output factor."""
    core = tucker.core
    weighted = error.root if tucker.output_factor is None else tucker.output_factor @ error.root
    core = core @ weighted
    places, rank, _ = core.shape
    channels = error.channels
    metric = error.metric.reshape(places, channels, places, channels).transpose(1, 3, 0, 2)
    pairs = np.tensordot(core, core, (2, 2)).transpose(0, 2, 1, 3)
    normal = metric.reshape(channels**2, -1) @ pairs.reshape(places**2, -1)
    normal = normal.reshape(channels, channels, rank, rank).transpose(0, 2, 1, 3)
    normal = normal.reshape(channels * rank, -1)
    # A core whose outputs do not need all of its inputs leaves directions open.
    normal += _ROUNDING * np.trace(normal) * np.eye(len(normal))
    cross = (error.factor @ error.fitted).reshape(places, channels, -1)
    wanted = np.einsum("pio,pao->ia", cross, core)
    factor = np.linalg.solve(normal, wanted.reshape(-1))
    return np.linalg.qr(factor.reshape(channels, rank))[0]
