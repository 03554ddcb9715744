"""Searching for what takes most of a limit, such as a file, whose size takes long to measure."""

import math
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from dart_keras.utils.progress import progress

Found = TypeVar("Found")

# Close enough to the limit, as a share of it.
_CLOSE = 0.02
_MOST_MEASUREMENTS = 8


class Measured(NamedTuple, Generic[Found]):
    """Something with a size.

    Attributes:
        found: What it is.
        cost: An estimate of its size, in any unit.
        size: Its size.
    """

    found: Found
    cost: int
    size: int


def largest_within(
    limit: int,
    fitting: Measured[Found],
    too_large: Measured[Found],
    find: Callable[[int], Found],
    measure: Callable[[Found], tuple[int, int]],
) -> Found:
    """Return what takes most of a limit of size among the few that are measured.

    The next cost to try is where a line through the sizes of the largest that fits and of the
    smallest that does not meets the limit. Sizes need not rise with costs everywhere: beyond a cost
    that is too large there may be a larger one that fits.

    Args:
        limit: The largest size that fits.
        fitting: Something that fits.
        too_large: Something with a larger cost that does not.
        find: From a cost to something of no larger cost.
        measure: From what was found to its cost and its size.

    Returns:
        `fitting.found`, or something larger that fits. At most 8 are measured.

    Example:
        >>> least, most = Measured("x", 1, 10), Measured("x" * 500, 500, 5000)
        >>> found = largest_within(
        ...     1000, least, most, lambda cost: "x" * cost, lambda x: (len(x), 10 * len(x))
        ... )
        >>> len(found)
        99
    """
    search = _Search(limit, fitting, too_large)
    best, tried = fitting.found, [fitting.found]
    for _ in progress(range(_MOST_MEASUREMENTS), "measuring files"):
        while (guess := search.guess()) is not None and (found := find(guess)) in tried:
            search.low = guess
        if guess is None:
            break
        tried.append(found)
        if search.add(guess, *measure(found)):
            best = found
    return best


class _Search:
    """The costs between which the next guess lies.

    Attributes:
        low: The largest cost that is known to fit or that gives nothing new.
    """

    def __init__(self, limit: int, fitting: Measured[Found], too_large: Measured[Found]) -> None:
        self._limit = limit
        self.low, self._size = fitting.cost, fitting.size
        # Costs and sizes, the smallest cost last.
        self._too_large = [(too_large.cost, too_large.size)]

    def guess(self) -> int | None:
        """Return a cost to try, or `None` where nothing is left to gain."""
        if self._size >= (1 - _CLOSE) * self._limit:
            return None
        while self._too_large[-1][0] - self.low <= 1:
            self.low, _ = self._too_large.pop()
            if not self._too_large:
                return None
        cost, size = self._too_large[-1]
        share = (self._limit * (1 - _CLOSE / 2) - self._size) / max(1, size - self._size)
        step = math.floor((cost - self.low) * min(max(share, 0.05), 0.95))
        return self.low + max(1, step)

    def add(self, guess: int, cost: int, size: int) -> bool:
        """Take in a measurement, and return whether the size fits."""
        fits = size <= self._limit
        if fits:
            self.low, self._size = guess, size
        else:
            self._too_large.append((cost, size))
        return fits
