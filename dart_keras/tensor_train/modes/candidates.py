"""Candidate modes of a search: all pairs of factorizations, or a sample and its neighbours.

As in `costs`, modes are arrays of shape (d, candidates). A TT matrix and its mirror image, with the
modes of both sides in reverse order, have the same parameters and nearly the same costs. So one of
them represents both.
"""

import math
from collections.abc import Sequence

import numpy as np

from dart_keras.tensor_train.modes.factorization import factorization_array, prime_factors

ModePair = tuple[tuple[int, ...], tuple[int, ...]]
ModePairs = tuple[np.ndarray, np.ndarray]


def count_pairs(input_dims: Sequence[int], output_dims: Sequence[int], cores: int) -> int:
    """Return the number of pairs of factorizations, mirror images included."""
    counts = [
        sum(len(factorization_array(dim, cores)) for dim in dims)
        for dims in (input_dims, output_dims)
    ]
    return math.prod(counts)


def all_mode_pairs(input_dims: Sequence[int], output_dims: Sequence[int], cores: int) -> ModePairs:
    """Return every pair of factorizations, without mirror images."""
    inputs, outputs = _sides(input_dims, output_dims, cores)
    direction = _direction(inputs)
    # `sided` leaves out the mirror images. The inputs in `symmetric` are their own mirror image, so
    # there the outputs decide.
    sided = np.flatnonzero(direction > 0), np.arange(outputs.shape[1])
    symmetric = np.flatnonzero(direction == 0), np.flatnonzero(_direction(outputs) <= 0)
    rows = np.concatenate([np.repeat(i, len(j)) for i, j in (sided, symmetric)])
    columns = np.concatenate([np.tile(j, len(i)) for i, j in (sided, symmetric)])
    return _without_idle_cores(inputs[:, rows], outputs[:, columns])


def sampled_mode_pairs(
    input_dims: Sequence[int], output_dims: Sequence[int], cores: int, count: int
) -> ModePairs:
    """Return a sample of about `count` pairs of factorizations, always the same one."""
    inputs, outputs = _sides(input_dims, output_dims, cores)
    rng = np.random.default_rng(0)
    rows = rng.integers(inputs.shape[1], size=count)
    columns = rng.integers(outputs.shape[1], size=count)
    return _distinct(*_without_idle_cores(inputs[:, rows], outputs[:, columns]))


def with_neighbours(inputs: np.ndarray, outputs: np.ndarray) -> ModePairs:
    """Return the candidates, and those that differ by a prime moved between two cores."""
    found = [(inputs, outputs)]
    found += [(moved, outputs[:, kept]) for moved, kept in _moves(inputs)]
    found += [(inputs[:, kept], moved) for moved, kept in _moves(outputs)]
    merged = (np.concatenate(side, axis=1) for side in zip(*found, strict=True))
    return _distinct(*_without_idle_cores(*merged))


def preference(shape: ModePair, input_dim: int, output_dim: int) -> tuple[object, ...]:
    """Return a key that sorts candidates of the same cost, the simplest one first.

    Fewer cores come before more, no padding before padding, balanced modes before others. The rest
    makes the order unique.
    """
    inputs, outputs = shape
    padded = (math.prod(inputs) > input_dim) + (math.prod(outputs) > output_dim)
    return len(inputs), padded, sum(inputs) + sum(outputs), inputs < inputs[::-1], inputs, outputs


def mode_tuples(inputs: np.ndarray, outputs: np.ndarray) -> list[ModePair]:
    """Return the candidates as tuples of integers."""
    rows = zip(inputs.T.tolist(), outputs.T.tolist(), strict=True)
    return [(tuple(n), tuple(m)) for n, m in rows]


def _sides(input_dims: Sequence[int], output_dims: Sequence[int], cores: int) -> ModePairs:
    inputs, outputs = (
        np.concatenate([factorization_array(dim, cores) for dim in dims]).T
        for dims in (input_dims, output_dims)
    )
    return inputs, outputs


def _direction(modes: np.ndarray) -> np.ndarray:
    """Return the sign of the first difference between the modes and their mirror image."""
    difference = modes - modes[::-1]
    first = np.argmax(difference != 0, axis=0)
    return np.sign(np.take_along_axis(difference, first[None], axis=0)[0])


def _without_idle_cores(inputs: np.ndarray, outputs: np.ndarray) -> ModePairs:
    """Remove candidates of three cores or more that have a core of modes 1 and 1.

    A neighbour can absorb such a core. The result is the same matrix with one core less and lower
    costs. Two cores are kept, since the search considers no fewer.
    """
    if len(inputs) == 2:
        return inputs, outputs
    busy = np.all(inputs * outputs > 1, axis=0)
    return inputs[:, busy], outputs[:, busy]


def _distinct(inputs: np.ndarray, outputs: np.ndarray) -> ModePairs:
    direction = _direction(inputs)
    mirrored = (direction < 0) | ((direction == 0) & (_direction(outputs) > 0))
    inputs = np.where(mirrored, inputs[::-1], inputs)
    outputs = np.where(mirrored, outputs[::-1], outputs)
    both = np.unique(np.concatenate([inputs, outputs]), axis=1)
    return both[: len(inputs)], both[len(inputs) :]


def _moves(modes: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return, for each prime and pair of cores, the modes after the move and their indices."""
    moves = []
    primes = sorted({p for dim in np.unique(modes.prod(axis=0)) for p in prime_factors(int(dim))})
    for prime in primes:
        for source in range(len(modes)):
            kept = np.flatnonzero(modes[source] % prime == 0)
            for target in range(len(modes)):
                if target != source:
                    moved = modes[:, kept]
                    moved[source] //= prime
                    moved[target] *= prime
                    moves.append((moved, kept))
    return moves
