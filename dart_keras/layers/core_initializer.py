"""Random cores of a TT matrix with the variance that a Keras initializer gives a dense matrix."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import initializers, ops

# Variance of Keras's normal distribution truncated at two standard deviations.
_TRUNCATED_VARIANCE = 0.7737413035499232


def kernel_mean_square(initializer: Any, shape: tuple[int, int]) -> float:
    """Return the mean square of the elements of a dense kernel from an initializer.

    Args:
        initializer: A Keras initializer.
        shape: Shape (N, M) of the kernel.

    Returns:
        The expected value for Keras's own random initializers; for others, that of one drawn
        kernel.

    Example:
        >>> round(kernel_mean_square(keras.initializers.GlorotUniform(), (300, 100)), 6)
        0.005
    """
    if isinstance(initializer, initializers.VarianceScaling):
        fans = {"fan_in": shape[0], "fan_out": shape[1], "fan_avg": sum(shape) / 2}
        return initializer.scale / max(1.0, fans[initializer.mode])
    if isinstance(initializer, initializers.Orthogonal):
        return initializer.gain**2 / max(shape)
    if isinstance(initializer, initializers.RandomUniform):
        low, high = initializer.minval, initializer.maxval
        return (low * low + low * high + high * high) / 3
    if isinstance(initializer, initializers.RandomNormal):
        return initializer.mean**2 + initializer.stddev**2
    if isinstance(initializer, initializers.TruncatedNormal):
        return initializer.mean**2 + _TRUNCATED_VARIANCE * initializer.stddev**2
    return float(np.mean(np.square(ops.convert_to_numpy(initializer(shape)))))


def initial_cores(
    initializer: Any,
    input_modes: Sequence[int],
    output_modes: Sequence[int],
    ranks: Sequence[int],
    shape: tuple[int, int] | None = None,
    carrier: int | None = None,
) -> list[np.ndarray]:
    """Draw random cores, scaled so that the matrix has exactly the intended mean square.

    They are normally distributed. So the rank slices differ from the start, and a rank regularizer
    can separate them. `keras.initializers.Orthogonal` gives orthogonal cores: all singular values
    of a bond are equal, and every slice contributes from the first step (Khodak et al. 2021,
    "Initialization and Regularization of Factorized Neural Layers", section 3.1, on spectral
    initialization).

    Optimizers such as Adam change all elements by about the same amount, so cores with smaller
    elements learn faster. By default, all cores have the same norm per slice. With a `carrier`,
    that one core has elements as small as the dense matrix.

    An initializer that draws zeros gives one core of zeros, the carrier or the last one, so that
    the matrix is zero and can still learn. The others then keep the size of what they multiply, as
    the first matrix of LoRA does.

    Args:
        initializer: A Keras initializer for the dense matrix of shape (N, M).
        input_modes: Modes n_1...n_d.
        output_modes: Modes m_1...m_d.
        ranks: All d + 1 ranks.
        shape: Shape (N, M) for the initializer, if it is smaller than the product of the modes; the
            padding has the same mean square as the rest.
        carrier: Index of a core that alone takes the initializer's scale. On average, multiplying
            it by the others does not change the size of its elements.

    Returns:
        Arrays of shape (r_{k-1}, n_k, m_k, r_k), float64.
    """
    full_shape = (math.prod(input_modes), math.prod(output_modes))
    rng = np.random.default_rng(_seed_of(initializer))
    is_orthogonal = isinstance(initializer, initializers.Orthogonal)
    # Cores to the left of this one get orthonormal columns, the others orthonormal rows.
    center = len(ranks) - 2 if carrier is None else carrier
    cores = []
    for k, (left, n, m, right) in enumerate(
        zip(ranks, input_modes, output_modes, ranks[1:], strict=False)
    ):
        core = rng.normal(size=(left, n, m, right))
        if is_orthogonal:
            core = _orthogonal(core, by_columns=k < center)
        cores.append(core / math.sqrt(right if carrier is None or k <= carrier else left))
    target = kernel_mean_square(initializer, shape or full_shape)
    if target == 0:
        zero = len(cores) - 1 if carrier is None else carrier
        return [
            # A lookup takes one of the n rows, a product adds them up.
            np.zeros_like(core) if k == zero else _unit(core, carrier is None)
            for k, core in enumerate(cores)
        ]
    scale = math.sqrt(target * math.prod(full_shape)) / _norm(cores)
    if carrier is not None:
        cores[carrier] *= scale
        return cores
    return [core * scale ** (1 / len(cores)) for core in cores]


def _unit(core: np.ndarray, adds_rows: bool) -> np.ndarray:
    # With a mean square of one over the number of elements that are added up.
    terms = core.shape[0] * (core.shape[1] if adds_rows else 1)
    return core / math.sqrt(np.mean(core**2) * terms)


def _orthogonal(core: np.ndarray, by_columns: bool) -> np.ndarray:
    # With a mean square of 1. The shorter side of the unfolding becomes orthonormal.
    matrix = core.reshape(-1, core.shape[-1]) if by_columns else core.reshape(len(core), -1)
    is_wide = matrix.shape[0] < matrix.shape[1]
    q = np.linalg.qr(matrix.T if is_wide else matrix).Q
    return (q.T if is_wide else q).reshape(core.shape) * math.sqrt(max(matrix.shape))


def _norm(cores: Sequence[np.ndarray]) -> float:
    # Gram matrices are accurate enough here, and much faster than orthogonal cores.
    gram: np.ndarray = np.ones((1, 1))
    for core in cores:
        gram = np.tensordot(core, np.tensordot(gram, core, 1), ((0, 1, 2), (0, 1, 2)))
    return math.sqrt(gram.item())


def _seed_of(initializer: Any) -> int:
    seed = getattr(initializer, "seed", None)
    if isinstance(seed, keras.random.SeedGenerator):
        seed = int(np.sum(ops.convert_to_numpy(seed.next()), dtype=np.uint64))
    # Initializers without a seed follow Keras's global one.
    return keras.initializers.RandomNormal().seed if seed is None else int(seed)
