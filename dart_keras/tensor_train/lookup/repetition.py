"""How often ids repeat."""

from functools import lru_cache

import numpy as np

# Enough for an error of less than a hundredth.
GRID = 512


@lru_cache(maxsize=1024)
def expected_distinct(count: int, vocabulary: int) -> int:
    """How many different ids to expect: the mean of what two kinds of batches would have.

    In one kind all ids are alike, as in shuffled categories. In the other the k-th most frequent
    one is drawn 1 / k times as often as the most frequent one, as the words of a text are (Zipf's
    law).

    Args:
        count: How many ids there are.
        vocabulary: How many different ones there can be.

    Returns:
        A number from 1 to the smaller one of both arguments.

    Example:
        >>> expected_distinct(4096, 30_522), expected_distinct(4096, 100)
        (2823, 100)
    """
    # An integral over the places k in the order of frequency.
    places = np.geomspace(0.5, vocabulary + 0.5, GRID)
    harmonic = np.log(vocabulary) + np.euler_gamma
    found = [
        np.trapezoid(-np.expm1(-count * share), places)
        for share in (np.full(GRID, 1 / vocabulary), 1 / (harmonic * places))
    ]
    return max(1, min(count, vocabulary, round(float(np.mean(found)))))
