"""Ranks of a TT matrix: the ways to specify them, and their limits."""

import math
from collections.abc import Sequence

from dart_keras.utils.argument_checks import is_integer

Ranks = int | Sequence[int]


def rank_limits(input_modes: Sequence[int], output_modes: Sequence[int]) -> tuple[int, ...]:
    """Return the largest useful rank at every bond, both ends included.

    A bond's rank is that of an unfolding of the matrix, so it cannot exceed the unfolding's number
    of rows or columns.

    Args:
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.

    Returns:
        d + 1 integers, the first and the last of them 1.

    Example:
        >>> rank_limits((4, 4, 4), (2, 2, 2))
        (1, 8, 8, 1)
    """
    sizes = [n * m for n, m in zip(input_modes, output_modes, strict=True)]
    return tuple(
        min(math.prod(sizes[:bond]), math.prod(sizes[bond:])) for bond in range(len(sizes) + 1)
    )


def check_ranks(ranks: Ranks) -> int | tuple[int, ...]:
    """Return the ranks as Python integers, and check that they are positive integers.

    The number of ranks is not checked.

    Raises:
        ValueError: If a rank is not an integer, or is zero or negative.
    """
    if is_integer(ranks):
        inner: Sequence[int] = (int(ranks),)  # type: ignore[arg-type]
    elif isinstance(ranks, Sequence) and not isinstance(ranks, str | bytes):
        inner = ranks
    else:
        inner = ("not integers",)  # type: ignore[assignment]
    if not all(is_integer(rank) and rank >= 1 for rank in inner):
        raise ValueError(
            "Expected `ranks` to be a positive integer or a sequence of them. "
            f"Received: ranks={ranks!r}"
        )
    return int(inner[0]) if is_integer(ranks) else tuple(int(rank) for rank in inner)


def complete_ranks(
    ranks: Ranks, input_modes: Sequence[int], output_modes: Sequence[int]
) -> tuple[int, ...]:
    """Complete ranks to all d + 1 of them, clipped to their limits.

    Args:
        ranks: One rank for every bond, one rank a bond, or these with the 1 at both ends.
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.

    Returns:
        d + 1 integers, the first and the last of them 1.

    Raises:
        ValueError: If the number of ranks is wrong, if one is not a positive integer, or if the
            ranks at the ends are not 1.

    Example:
        >>> complete_ranks(16, (28, 28), (32, 32))
        (1, 16, 1)
        >>> complete_ranks((5, 99), (2, 2, 2), (2, 2, 2))
        (1, 4, 4, 1)
    """
    checked = check_ranks(ranks)
    d = len(input_modes)
    if isinstance(checked, int):
        full = (1, *[checked] * (d - 1), 1)
    elif len(checked) == d - 1:
        full = (1, *checked, 1)
    elif len(checked) == d + 1 and checked[0] == checked[-1] == 1:
        full = checked
    else:
        raise ValueError(
            f"Expected `ranks` for {d} cores to be an integer, {d - 1} inner ranks, or {d + 1} "
            f"ranks that begin and end with 1. Received: ranks={ranks!r}"
        )
    # A clipped neighbour lowers the limit of this bond, so one pass in each direction is needed.
    sizes = [n * m for n, m in zip(input_modes, output_modes, strict=True)]
    clipped = list(full)
    for bond in range(1, d):
        clipped[bond] = min(clipped[bond], clipped[bond - 1] * sizes[bond - 1])
    for bond in range(d - 1, 0, -1):
        clipped[bond] = min(clipped[bond], clipped[bond + 1] * sizes[bond])
    return tuple(clipped)


def count_parameters(
    input_modes: Sequence[int], output_modes: Sequence[int], ranks: Sequence[int]
) -> int:
    """Return the number of parameters of the cores.

    Args:
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.
        ranks: All d + 1 ranks.

    Example:
        >>> count_parameters((28, 28), (32, 32), (1, 16, 1))
        28672
    """
    return sum(
        left * n * m * right
        for left, n, m, right in zip(ranks, input_modes, output_modes, ranks[1:], strict=False)
    )


def count_multiply_adds(
    input_modes: Sequence[int], output_modes: Sequence[int], ranks: Sequence[int]
) -> int:
    """Return the fewest multiply-adds of a row times the matrix, core by core.

    The product begins with any core and takes in one neighbouring core after another. The best
    order is found by dynamic programming over the intervals of cores that are taken in.

    Args:
        input_modes: Modes n_1...n_d of the rows.
        output_modes: Modes m_1...m_d of the columns.
        ranks: All d + 1 ranks.

    Example:
        >>> count_multiply_adds((28, 28), (32, 32), (1, 16, 1))
        860160
    """
    d = len(input_modes)

    def step(core: int, first: int, last: int) -> int:
        # Elements that one more core is multiplied with, after those of the interval [first, last).
        around = math.prod(input_modes[: min(core, first)])
        around *= math.prod(input_modes[max(core + 1, last) :])
        around *= math.prod(output_modes[first:last])
        open_bond = ranks[first] if core >= last else ranks[last]
        own = ranks[core] * input_modes[core] * output_modes[core] * ranks[core + 1]
        return around * (open_bond if first < last else 1) * own

    fewest = {(core, core + 1): step(core, core, core) for core in range(d)}
    for length in range(2, d + 1):
        for first in range(d - length + 1):
            last = first + length
            fewest[first, last] = min(
                fewest[first, last - 1] + step(last - 1, first, last - 1),
                fewest[first + 1, last] + step(first, first + 1, last),
            )
    return fewest[0, d]
