"""Splitting a dimension into the modes of a tensor train."""

import math
from collections.abc import Iterator, Sequence
from numbers import Integral


def factorizations(dim: int, length: int) -> Iterator[tuple[int, ...]]:
    """Every ordered way to write `dim` as a product of `length` positive integers.

    Args:
        dim: The dimension, a positive integer.
        length: How many factors, a positive integer.

    Yields:
        Tuples of `length` integers, ones included.

    Example:
        >>> list(factorizations(4, 2))
        [(1, 4), (2, 2), (4, 1)]
    """
    if length == 1:
        yield (dim,)
        return
    for first in range(1, dim + 1):
        if dim % first == 0:
            for rest in factorizations(dim // first, length - 1):
                yield (first, *rest)


def balanced_modes(dim: int, length: int) -> tuple[int, ...]:
    """The factorization of `dim` whose factors are closest to each other, in ascending order.

    Args:
        dim: The dimension, a positive integer. A prime becomes ones and itself.
        length: How many modes, a positive integer.

    Returns:
        `length` integers whose product is `dim`.

    Example:
        >>> balanced_modes(784, 2), balanced_modes(1024, 3), balanced_modes(13, 2)
        ((28, 28), (8, 8, 16), (1, 13))
    """
    ascending = (modes for modes in factorizations(dim, length) if list(modes) == sorted(modes))
    return min(ascending, key=sum)


def automatic_modes(input_dim: int, output_dim: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two modes a side that need the fewest parameters a rank, the most balanced of those.

    Two modes (n1, n2) and (m1, m2) cost n1 m1 + n2 m2 parameters for each rank. Where both
    dimensions have balanced factors, these are the best. Where one of them is a large prime, a
    plain low-rank factorization, modes (N, 1) and (1, M), is.

    Args:
        input_dim: The number of rows N of the matrix.
        output_dim: The number of columns M of the matrix.

    Returns:
        The input modes and the output modes.

    Example:
        >>> automatic_modes(784, 1024)
        ((28, 28), (32, 32))
        >>> automatic_modes(787, 1024)
        ((787, 1), (1, 1024))
    """

    def cost(pair: tuple[tuple[int, ...], tuple[int, ...]]) -> tuple[int, int, bool]:
        (n1, n2), (m1, m2) = pair
        # The last entry makes the choice between mirror images a definite one.
        return n1 * m1 + n2 * m2, n1 + n2 + m1 + m2, n1 < n2

    candidates = (
        (inputs, outputs)
        for inputs in factorizations(input_dim, 2)
        for outputs in factorizations(output_dim, 2)
    )
    (n1, n2), (m1, m2) = min(candidates, key=cost)
    return (n1, n2), (m1, m2)


def complete_modes(
    input_dim: int,
    output_dim: int,
    input_modes: Sequence[int] | None,
    output_modes: Sequence[int] | None,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The modes of both sides: those given, checked, and automatic ones for those not given.

    Args:
        input_dim: The number of rows N of the matrix.
        output_dim: The number of columns M of the matrix.
        input_modes: Modes of the rows, or `None` to choose them.
        output_modes: Modes of the columns, or `None` to choose them.

    Returns:
        The input modes and the output modes, of one length.

    Raises:
        ValueError: If modes are not positive integers, their product is not the dimension, or the
            two sides have different lengths.

    Example:
        >>> complete_modes(784, 1024, (7, 7, 16), None)
        ((7, 7, 16), (8, 8, 16))
    """
    if input_modes is None and output_modes is None:
        return automatic_modes(input_dim, output_dim)
    if input_modes is None:
        outputs = check_modes("output_modes", output_modes or (), output_dim)
        return balanced_modes(input_dim, len(outputs)), outputs
    inputs = check_modes("input_modes", input_modes, input_dim)
    if output_modes is None:
        return inputs, balanced_modes(output_dim, len(inputs))
    outputs = check_modes("output_modes", output_modes, output_dim)
    check_same_length(inputs, outputs)
    return inputs, outputs


def check_same_length(input_modes: Sequence[int], output_modes: Sequence[int]) -> None:
    """Raise a ValueError unless both sides have as many modes as the train has cores."""
    if len(input_modes) != len(output_modes):
        raise ValueError(
            "Expected `input_modes` and `output_modes` of the same length, one pair a core. "
            f"Received: input_modes={tuple(input_modes)}, output_modes={tuple(output_modes)}"
        )


def check_modes(name: str, modes: Sequence[int], dim: int | None = None) -> tuple[int, ...]:
    """The modes as a tuple of Python integers, if they are positive and their product is `dim`."""
    if (
        isinstance(modes, str | bytes)
        or not isinstance(modes, Sequence)
        or len(modes) == 0
        or not all(is_integer(mode) and mode >= 1 for mode in modes)
    ):
        raise ValueError(
            f"Expected `{name}` to be a list or tuple of positive integers. "
            f"Received: {name}={modes!r}"
        )
    product = math.prod(modes)
    if dim is not None and product != dim:
        raise ValueError(
            f"Expected `{name}` whose product is the dimension {dim}. "
            f"Received: {name}={tuple(modes)}, whose product is {product}"
        )
    return tuple(int(mode) for mode in modes)


def is_integer(value: object) -> bool:
    """Whether the value is an integer of Python or NumPy, and not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)
