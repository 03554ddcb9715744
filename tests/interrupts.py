"""Interrupting a function at any of its calls of the operating system, as errors and kills do."""

import io
import sys


def runs_through(function, number, interrupt, *, after=False):
    """Run a function; before or after its n-th call of the operating system do something else.

    Python handles Ctrl-C after a call has returned. Calls of `close` count only then: before them
    nothing comes, and they close what they are given even if they fail.

    Returns:
        Whether the function came to its end first.
    """
    events = ("c_return", "c_exception") if after else ("c_call",)
    seen = 0

    def count(frame, event, called):
        nonlocal seen
        if event in events and _is_of_the_system(called) and (after or called.__name__ != "close"):
            seen += 1
            if seen == number:
                sys.setprofile(None)
                interrupt()

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return seen < number


def _is_of_the_system(called):
    if isinstance(called.__self__, io.IOBase):
        return True
    # Paths are taken apart without the system.
    return called.__module__ in ("posix", "io", "_io", "fcntl") and called.__name__ != "fspath"
