"""Least-squares sweeps over the cores of a TT matrix."""

import numpy as np

from dart_keras.tensor_train import TTMatrix

# A sweep that takes off a smaller share of the squared distance than this is the last one.
_PROGRESS = 1e-3
_ROUNDING = 1e-13
_MOST_SWEEPS = 50


def least_squares_sweeps(start: TTMatrix, metric: np.ndarray, best: np.ndarray) -> TTMatrix:
    """Bring a TT matrix closer to a matrix B, core by core, in the distance <W - B, A (W - B)>.

    The alternating linear scheme (Holtz, Rohwedder and Schneider 2012, "The alternating linear
    scheme for tensor optimization in the tensor-train format"): with all cores but one fixed
    and orthogonal, that core's best values solve linear equations whose condition is no worse than
    A's. A says nothing about the columns of W, so that the output mode of the core only
    adds right-hand sides. No step makes the distance larger. It ends in a local minimum.

    Args:
        start: The TT matrix to begin with.
        metric: A, a symmetric positive definite array of shape (N, N).
        best: B, of shape (N, M).

    Returns:
        A TT matrix of the same modes, with ranks no larger.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> best = rng.normal(size=(6, 6))
        >>> start = TTMatrix.from_dense(rng.normal(size=(6, 6)), (2, 3), (3, 2))
        >>> swept = least_squares_sweeps(start, np.eye(6), best)
        >>> bool(np.allclose(swept.to_dense(), best))
        True
    """
    cores = list(start.right_canonical().cores)
    target = metric @ best
    whole = float(np.sum(best * target))
    lost = start.to_dense() - best
    distance = float(np.sum(lost * (metric @ lost)))
    forward, backward = range(len(cores)), range(len(cores) - 1, -1, -1)
    for _ in range(_MOST_SWEEPS):
        before = distance
        for places in (forward, backward):
            for k in places:
                cores[k], reached = _best_core(cores, k, metric, target)
                if k != places[-1]:
                    _move_centre(cores, k, places.step)
        # At a core's best values <W, A W> = <W, A B>, so that the distance is a difference.
        distance = whole - reached
        if before - distance <= max(_PROGRESS * before, _ROUNDING * whole):
            break
    return TTMatrix(tuple(cores))


def _best_core(
    cores: list[np.ndarray], k: int, metric: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the best values of core k, the others being fixed, and <W, A B> with these."""
    import opt_einsum

    # The ranks at the two ends are 1.
    left, right = _product(cores[:k])[0], _product(cores[k + 1 :])[..., 0]
    ranks = (left.shape[2], right.shape[0])
    _, n, m, _ = cores[k].shape
    rows, columns = (left.shape[0], n, right.shape[1]), (left.shape[1], m, right.shape[2])
    normal = opt_einsum.contract(
        "xiyXIY,xpa,XpA,byq,BYq->aibAIB", metric.reshape(rows * 2), left, left, right, right
    )
    wanted = opt_einsum.contract(
        "xiypjq,xpa,byq->aibj", target.reshape(rows + columns), left, right
    )
    size = ranks[0] * n * ranks[1]
    wanted = wanted.reshape(size, m)
    core = np.linalg.solve(normal.reshape(size, size), wanted)
    reached = float(np.sum(core * wanted))
    return core.reshape(ranks[0], n, ranks[1], m).transpose(0, 1, 3, 2), reached


def _product(cores: list[np.ndarray]) -> np.ndarray:
    """Return all the cores as one, of shape (r, N', M', r')."""
    product: np.ndarray = np.ones((1, 1, 1, 1)) if not cores else cores[0]
    for core in cores[1:]:
        left, rows, columns, _ = product.shape
        _, n, m, right = core.shape
        product = np.tensordot(product, core, 1).transpose(0, 1, 3, 2, 4, 5)
        product = product.reshape(left, rows * n, columns * m, right)
    return product


def _move_centre(cores: list[np.ndarray], k: int, step: int) -> None:
    """Make core k orthogonal and give what is left of it to the next core."""
    core, following = cores[k], cores[k + step]
    if step > 0:
        q, rest = np.linalg.qr(core.reshape(-1, core.shape[3]))
        cores[k] = q.reshape(*core.shape[:3], -1)
        cores[k + 1] = np.tensordot(rest, following, 1)
    else:
        q, rest = np.linalg.qr(core.reshape(core.shape[0], -1).T)
        cores[k] = q.T.reshape(-1, *core.shape[1:])
        cores[k - 1] = np.tensordot(following, rest.T, 1)
