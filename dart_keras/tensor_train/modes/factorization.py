"""Factorizations of a dimension."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

# With larger primes, modes differ too much in size to be useful.
LARGEST_USEFUL_PRIME = 13
# Prime factors of a padded dimension, number of padded dimensions, and share of padding.
SMALL_PRIMES = (2, 3, 5, 7)
PADDED_DIMS = 3
PADDING = 1 / 16


def factorizations(dim: int, length: int) -> Iterator[tuple[int, ...]]:
    """Yield every ordered factorization of `dim` into `length` positive integers.

    Args:
        dim: The dimension, a positive integer.
        length: Number of factors, a positive integer.

    Yields:
        Tuples of `length` integers, ones included.

    Example:
        >>> list(factorizations(4, 2))
        [(1, 4), (2, 2), (4, 1)]
    """
    yield from map(tuple, factorization_array(dim, length).tolist())


@lru_cache(maxsize=4096)
def factorization_array(dim: int, length: int) -> np.ndarray:
    """Return `factorizations` as rows of a read-only array of shape (count, length)."""
    if length == 1:
        return np.array([[dim]])
    rests = {first: factorization_array(dim // first, length - 1) for first in divisors(dim)}
    firsts = np.repeat(list(rests), [len(rest) for rest in rests.values()])
    return np.column_stack([firsts, np.concatenate(list(rests.values()))])


def balanced_modes(dim: int, length: int) -> tuple[int, ...]:
    """Return the factorization of `dim` whose factors are closest to each other, ascending.

    Args:
        dim: The dimension, a positive integer. A prime gives ones and itself.
        length: Number of modes, a positive integer.

    Returns:
        `length` integers whose product is `dim`.

    Example:
        >>> balanced_modes(784, 2), balanced_modes(1024, 3), balanced_modes(13, 2)
        ((28, 28), (8, 8, 16), (1, 13))
    """
    return min(_ascending(dim, length, 1), key=sum)


def _ascending(dim: int, length: int, least: int) -> Iterator[tuple[int, ...]]:
    if length == 1:
        yield (dim,)
        return
    for first in divisors(dim):
        if first**length > dim:
            return
        if first >= least:
            for rest in _ascending(dim // first, length - 1, first):
                yield (first, *rest)


@lru_cache(maxsize=4096)
def divisors(dim: int) -> tuple[int, ...]:
    """Return the divisors of a positive integer, ascending.

    Example:
        >>> divisors(12)
        (1, 2, 3, 4, 6, 12)
    """
    small = [k for k in range(1, math.isqrt(dim) + 1) if dim % k == 0]
    large = [dim // k for k in reversed(small) if k * k != dim]
    return (*small, *large)


def prime_factors(dim: int) -> tuple[int, ...]:
    """Return the distinct prime factors of a positive integer, ascending.

    Example:
        >>> prime_factors(360), prime_factors(1)
        ((2, 3, 5), ())
    """
    primes: list[int] = []
    for divisor in divisors(dim)[1:]:
        if all(divisor % prime for prime in primes):
            primes.append(divisor)
    return tuple(primes)


@lru_cache(maxsize=256)
def padded_dims(dim: int) -> tuple[int, ...]:
    """Return the dimension and, if it has a large prime factor, a few larger ones without one.

    Args:
        dim: The dimension, a positive integer.

    Returns:
        `dim`, followed by up to three larger integers, at most a sixteenth above it, whose prime
        factors are 2, 3, 5 and 7.

    Example:
        >>> padded_dims(784), padded_dims(787), padded_dims(30522)
        ((784,), (787, 800, 810), (30522, 30618, 30625, 30720))
    """
    if max(prime_factors(dim), default=1) <= LARGEST_USEFUL_PRIME:
        return (dim,)
    above = np.arange(dim + 1, int(dim * (1 + PADDING)) + 1)
    rest = above.copy()
    for prime in SMALL_PRIMES:
        while np.any(divisible := rest % prime == 0):
            rest[divisible] //= prime
    return (dim, *above[rest == 1][:PADDED_DIMS].tolist())
