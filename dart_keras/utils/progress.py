"""The progress of long jobs: bars on a terminal and in a notebook, lines in a log file."""

import operator
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol, TypeVar

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

Item = TypeVar("Item")

# Seconds before a bar is shown, and between two lines of a log file.
_BAR_DELAY = 1.5
_LINE_INTERVAL = 30.0


class ProgressBar(Protocol):
    """What counts the steps of a job that are done."""

    def update(self) -> Any:
        """Count one more step."""


def progress(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield items and show how many are done and how much time is left.

    Args:
        items: The items, whatever they are.
        description: What is done with them, such as "fitting layers".
        total: Their number, where `items` does not tell it.
    """
    with progress_bar(description, total or operator.length_hint(items) or None) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(description: str, total: int | None = None) -> AbstractContextManager[ProgressBar]:
    """Return a bar for a job whose steps are counted by `update`.

    Nothing is shown of a job that is done within a moment. On a terminal and in a notebook the bar
    goes away at the end. Elsewhere, as in a log file, a line is written to the standard error from
    time to time.

    Args:
        description: What is done, such as "fitting layers".
        total: The number of steps; `None` where it is not known.
    """
    if issubclass(tqdm, tqdm_notebook) or (sys.stderr and sys.stderr.isatty()):
        return tqdm(desc=description, total=total, leave=False, delay=_BAR_DELAY)
    return _ProgressLines(description, total)


class _ProgressLines:
    # Of all jobs in the process, as one may be a step of another.
    _last_line = -_LINE_INTERVAL

    def __init__(self, description: str, total: int | None) -> None:
        self._description = description
        self._total = total
        self._done = 0
        self._begin = time.monotonic()

    def __enter__(self) -> "_ProgressLines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def update(self) -> None:
        self._done += 1
        now = time.monotonic()
        if now - max(self._begin, _ProgressLines._last_line) < _LINE_INTERVAL:
            return
        _ProgressLines._last_line = now
        # There may be no standard error; `print` would then take the standard output.
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                print(self._line(now - self._begin), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        done = f"{self._done}" if self._total is None else f"{self._done} of {self._total}"
        text = f"{self._description}: {done} done in {tqdm.format_interval(seconds)}"
        if self._total is None or self._done >= self._total:
            return text
        left = seconds / self._done * (self._total - self._done)
        return f"{text}, about {tqdm.format_interval(left)} left"
