"""Checks of modes."""

import math
from collections.abc import Sequence

from dart_keras.utils.argument_checks import is_integer


def check_same_length(input_modes: Sequence[int], output_modes: Sequence[int]) -> None:
    """Raise a ValueError unless both sides have the same number of modes."""
    if len(input_modes) != len(output_modes):
        raise ValueError(
            "Expected `input_modes` and `output_modes` of the same length, one pair a core. "
            f"Received: input_modes={tuple(input_modes)}, output_modes={tuple(output_modes)}"
        )


def check_modes(name: str, modes: Sequence[int], dim: int | None = None) -> tuple[int, ...]:
    """Return the modes as Python integers, and check that they factorize the dimension.

    Their product may exceed the dimension, in which case the rest is padded with zeros. For
    example, a prime dimension has only trivial modes. The product must be below twice the
    dimension, so that less than half is padding.

    Args:
        name: Name of the modes in error messages.
        modes: A list or tuple of integers.
        dim: The dimension N; `None` if it is not known yet.

    Returns:
        The modes.

    Raises:
        ValueError: If the modes are not positive integers, or their product is not at least `dim`
            and less than 2 `dim`.

    Example:
        >>> check_modes("input_modes", [28, 28], 784), check_modes("input_modes", [28, 29], 787)
        ((28, 28), (28, 29))
    """
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
    if dim is not None and not dim <= product < 2 * dim:
        raise ValueError(
            f"Expected `{name}` whose product is the dimension {dim}, or with padding less than "
            f"{2 * dim}. "
            f"Received: {name}={tuple(modes)}, whose product is {product}"
        )
    return tuple(int(mode) for mode in modes)
