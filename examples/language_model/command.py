"""Shared parts of the command lines in this folder."""

import argparse
import sys
from collections.abc import Callable


def run(name: str, command: Callable[[], None]) -> int:
    """Run a command, and print errors that a user can correct in one line.

    Args:
        name: Name of the command.
        command: The function to call.

    Returns:
        The exit code: 0, or 1 after an error, whose reason is on stderr.
    """
    try:
        command()
    except (ValueError, OSError, ImportError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 1
    return 0


def positive(text: str) -> int:
    """Read a positive integer."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a positive integer, received {text}")
    return int(text)


def positive_float(text: str) -> float:
    """Read a positive number."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, received {text}")
    return value


def fraction(text: str) -> float:
    """Read a number above 0 and at most 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"expected above 0 and at most 1, received {text}")
    return value
