"""The cells that the commands go through, and the options that leave some of them out."""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables import RESULTS

DIMENSIONS = ("784x1024", "1024x1024", "4096x1024", "4096x4096")
RANKS = (4, 8, 16, 32, 64)
BATCHES = (1, 32, 128, 512)
# Both are measured of whatever is set up for a cell.
KINDS = ("forward", "training")


class Grid:
    """All combinations of some axes, or of a part of them that the command line asks for.

    Args:
        name: Of the command, and of its results.
        description: For `--help`.
        axes: The values that each axis has, by the name of the axis, outermost first.
        cores: Whether the command takes `--cores`, the length of the trains.
        argv: The command line; by default that of the process.
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
            help="the JSON file; by default in benchmarks/results, and none for a part of the grid",
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
    """The input and the output dimension.

    Example:
        >>> split("784x1024")
        (784, 1024)
    """
    rows, columns = dimensions.split("x")
    return int(rows), int(columns)
