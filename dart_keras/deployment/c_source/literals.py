import textwrap
from collections.abc import Iterable

import numpy as np

_WIDTH = 100


def c_type(dtype: str | np.dtype) -> str:
    """Return the C++ type of a tensor's elements.

    Args:
        dtype: A NumPy dtype: booleans, integers or float32.

    Raises:
        ValueError: If C++17 has no type of a fixed size for it.

    Example:
        >>> c_type("int8"), c_type("float32")
        ('std::int8_t', 'float')
    """
    dtype = np.dtype(dtype)
    if dtype == np.float32:
        return "float"
    if dtype == np.bool_:
        return "bool"
    if dtype.kind in "iu":
        return f"std::{dtype.name}_t"
    raise ValueError(
        f"Expected `dtype` to be bool, an integer or float32. Received: dtype={dtype.name!r}"
    )


def literal(value: np.generic) -> str:
    """Return a value as C++ reads it back without loss.

    Example:
        >>> literal(np.float32(0.1)), literal(np.int8(-3)), literal(np.bool_(True))
        ('1.0e-01f', '-3', 'true')
    """
    if isinstance(value, np.bool_):
        return "true" if value else "false"
    if isinstance(value, np.floating):
        return np.format_float_scientific(value, unique=True, trim="0") + "f"
    return str(value)


def in_lines(literals: Iterable[str], before: str = "    ", after: str = ",") -> str:
    """Return the literals of an array, separated by commas, in lines of bounded length.

    Args:
        literals: The elements.
        before: What comes before the first one; the other lines are indented by as much.
        after: What comes after the last one.
    """
    return textwrap.fill(
        ", ".join(literals) + after,
        _WIDTH,
        initial_indent=before,
        subsequent_indent=" " * len(before),
        break_on_hyphens=False,
    )
