"""How objects are shown: as the call that makes them, or as text in a notebook."""

import html
from typing import Any


def call_repr(instance: Any, **arguments: Any) -> str:
    """Return the call that makes an object, such as `Threshold(delta=0.1)`.

    Args:
        instance: The object, whose class is called.
        arguments: The arguments by name.

    Example:
        >>> call_repr(1.5, x="a", y=(2, 3))
        "float(x='a', y=(2, 3))"
    """
    given = (f"{name}={value!r}" for name, value in arguments.items())
    return f"{type(instance).__name__}({', '.join(given)})"


def preformatted_html(text: str) -> str:
    """Return text of several lines as HTML that keeps them."""
    return f"<pre>{html.escape(text)}</pre>"
