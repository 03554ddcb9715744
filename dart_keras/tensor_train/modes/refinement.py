"""Third stage of a search, with a matrix: hill climbing to modes with a smaller error."""

import itertools

import numpy as np

from dart_keras.tensor_train.modes.candidates import (
    ModePair,
    all_mode_pairs,
    mode_tuples,
    preference,
    with_neighbours,
)
from dart_keras.tensor_train.modes.evaluation import Evaluation
from dart_keras.tensor_train.modes.factorization import divisors, padded_dims
from dart_keras.tensor_train.modes.request import Request

# Total number of elements that TT-SVD may read, and bounds on the number of candidates.
WORK = 2**27
MIN_CANDIDATES = 32
MAX_CANDIDATES = 256


def refine(evaluation: Evaluation, request: Request) -> None:
    """Add better points, whose errors the first stage could not estimate.

    First come candidates of two cores, the most balanced ones first, up to half of the budget. Then
    come the neighbours of the best point, as long as they improve it.
    """
    size = request.input_dim * request.output_dim
    most = min(MAX_CANDIDATES, max(MIN_CANDIDATES, WORK // size))
    dims = padded_dims(request.input_dim), padded_dims(request.output_dim)
    two_cores = mode_tuples(*all_mode_pairs(*dims, cores=2))
    evaluation.add(_simplest_first(two_cores, request)[: most // 2])
    while len(evaluation.points) < most:
        best = evaluation.best()
        unknown = [shape for shape in _near(best.shape, request) if shape not in evaluation.seen]
        evaluation.add(unknown[: most - len(evaluation.points)])
        if evaluation.best() == best:
            return


def _near(shape: ModePair, request: Request) -> list[ModePair]:
    """Return candidates from moving a prime, splitting a core or merging two, simplest first."""
    inputs, outputs = (np.array(modes)[:, None] for modes in shape)
    near = mode_tuples(*with_neighbours(inputs, outputs))
    cores = list(zip(*shape, strict=True))
    if len(cores) < request.max_cores:
        near += [_split(cores, k, a, b) for k, a, b in _cuts(cores)]
    if len(cores) > 2:
        near += [_merged(cores, k) for k in range(len(cores) - 1)]
    return _simplest_first(near, request)


def _cuts(cores: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Return every core k of modes n and m with divisors a of n and b of m that split it."""
    return [
        (k, a, b)
        for k, (n, m) in enumerate(cores)
        for a, b in itertools.product(divisors(n), divisors(m))
        if 1 < a * b < n * m
    ]


def _split(cores: list[tuple[int, int]], k: int, a: int, b: int) -> ModePair:
    n, m = cores[k]
    return _shape([*cores[:k], (a, b), (n // a, m // b), *cores[k + 1 :]])


def _merged(cores: list[tuple[int, int]], k: int) -> ModePair:
    (n1, m1), (n2, m2) = cores[k : k + 2]
    return _shape([*cores[:k], (n1 * n2, m1 * m2), *cores[k + 2 :]])


def _shape(cores: list[tuple[int, int]]) -> ModePair:
    return tuple(n for n, _ in cores), tuple(m for _, m in cores)


def _simplest_first(found: list[ModePair], request: Request) -> list[ModePair]:
    """Return the candidates and their mirror images, whose errors differ, simplest first."""
    mirrored = [(inputs[::-1], outputs[::-1]) for inputs, outputs in found]
    dims = request.input_dim, request.output_dim
    return sorted({*found, *mirrored}, key=lambda shape: preference(shape, *dims)[1:])
