"""Grids of benchmark cells, and command line options that select a part of them."""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import RESULTS

DIMENSIONS = ("784x1024", "1024x1024", "4096x1024", "4096x4096")
RANKS = (4, 8, 16, 32, 64)
BATCHES = (1, 32, 128, 512)
# Both are measured in each cell.
KINDS = ("forward", "training")


class Grid:
    """The combinations of some axes, or the part of them that the command line selects.

    Args:
        name: Name of the command and of its results file.
        description: Text for `--help`.
        axes: Values of each axis by axis name, outermost first.
        cores: Whether the command takes `--cores`, the number of cores of a TT matrix.
        argv: Command line arguments; by default those of the process.
    """

    def __init__(
        self,
        name: str,
        description: str | None,
        axes: Mapping[str, Sequence[Any]],
        cores: bool = False,
        argv: Sequence[str] | None = None,
    ) -> None:
        parser = argparse.ArgumentParser(prog=f"benchmarks.{name}", description=description)
        for axis, values in axes.items():
            parser.add_argument(
                f"--{axis}", nargs="+", type=type(values[0]), choices=values, default=values
            )
        if cores:
            parser.add_argument("--cores", type=int, choices=(2, 3), default=2)
        parser.add_argument(
            "--output",
            type=Path,
            help="JSON file; by default in benchmarks/results for the whole grid, none for a part",
        )
        arguments = parser.parse_args(argv)
        self.axes = {axis: tuple(getattr(arguments, axis)) for axis in axes}
        self.cores: int = arguments.cores if cores else 2
        suffix = f"_{self.cores}_cores" if cores else ""
        whole = all(self.axes[axis] == tuple(values) for axis, values in axes.items())
        self.path: Path | None = arguments.output
        if self.path is None and whole:
            self.path = RESULTS / f"{name}{suffix}.json"

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return itertools.product(*self.axes.values())


def split(dimensions: str) -> tuple[int, int]:
    """Return the input and output dimensions.

    Example:
        >>> split("784x1024")
        (784, 1024)
    """
    rows, columns = dimensions.split("x")
    return int(rows), int(columns)
