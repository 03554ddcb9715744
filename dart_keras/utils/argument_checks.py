"""Checks of numbers that users give."""

import math
from numbers import Integral, Real


def is_integer(value: object) -> bool:
    """Return whether the value is an integer of Python or NumPy, and not a boolean."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether the value is a finite real number of Python or NumPy, and not a boolean."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def check_share(name: str, value: float) -> float:
    """Return the value as a float, if it is a number between 0 and 1.

    Args:
        name: What the value is called in an error message.
        value: The value.

    Raises:
        ValueError: If it is not.
    """
    if not is_number(value) or not 0 < value < 1:
        raise ValueError(f"Expected `{name}` between 0 and 1. Received: {name}={value!r}")
    return float(value)
